// Sixty tabs of one browser over HTTP/2, whose streams a reverse proxy connects directly to the service.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/chromium.js";
import { Edge, EDGES } from "./fixture/edge.js";
import { Ledger } from "./fixture/ledger.js";
import { Nats } from "./fixture/nats.js";
import { Platform } from "./fixture/platform.js";
import { Service } from "./fixture/service.js";

const TABS = 60;
const PATH = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse";

for (const kind of EDGES) {
  describe(`sixty tabs with direct streams behind ${kind}`, () => {
    const ledgers = [];
    let browser, context, edge, nats, platform, service;

    before(async () => {
      [browser, nats] = await Promise.all([Browser.start(["--ignore-certificate-errors"]), Nats.start()]);
      service = await Service.start(nats, { SSE_TICKET_CLIENTS: "127.0.0.1" });
      platform = await Platform.start(service);
      edge = await Edge.start(kind, platform, service);
      context = await browser.chromium.newContext();
      const bearer = platform.signIn("einstein");
      for (let tab = 0; tab < TABS; tab++) {
        const [page, ledger] = [await context.newPage(), new Ledger()];
        ledgers.push(ledger);
        await page.exposeFunction("note", (content) => ledger.note(content));
        await page.goto(edge.address);
        await page.evaluate(follow, [PATH, bearer]);
      }
      await service.hasStreams(TABS);
    });

    after(async () => {
      await browser.stop();
      await edge?.stop();
      await platform?.stop();
      await service?.down();
      await nats.stop();
    });

    const allHave = (content) => Promise.all(ledgers.map((ledger) => ledger.has(content)));

    it("each get each event", async () => {
      for (const content of ["hello", "again"]) {
        await nats.publish(["einstein"], "userlog-notification", content);
        await allHave(content);
      }
      const page = await context.newPage();
      await page.goto(edge.address);
      const protocol = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
      assert.equal(protocol, "h2");
    });

    it("cost the platform a request for a ticket each", () => {
      assert.deepEqual(platform.paths, Array(TABS).fill(`${PATH}/ticket`));
    });

    it("are rejected without a token", async () => {
      const page = await context.newPage();
      await page.goto(edge.address);
      const status = await page.evaluate(
        async (path) => (await fetch(path, { headers: { Authorization: "Bearer unknown" } })).status,
        PATH,
      );
      assert.equal(status, 401);
    });
  });
}

/** Opens a stream as the platform's web client does, and records the data of its events. Runs in a page. */
async function follow([path, bearer]) {
  const response = await fetch(path, { headers: { Authorization: `Bearer ${bearer}` } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const read = async () => {
    let text = "";
    for (;;) {
      text += (await reader.read()).value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const data = block.split("\n").find((line) => line.startsWith("data: "));
        if (data) window.note(data.slice(6));
      }
    }
  };
  read();
}

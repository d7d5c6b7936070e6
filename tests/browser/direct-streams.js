// Clients whose streams a reverse proxy connects directly to the service, and sixty tabs of one browser over HTTP/2. Each proxy has a file of
// its own, so that they are tested at the same time.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { DirectStreams } from "./fixture/direct-streams.js";
import { Ledger } from "./fixture/ledger.js";
import { Nats } from "./fixture/nats.js";
import { Service } from "./fixture/service.js";
import { follow } from "./fixture/tab.js";
import { webClient } from "./fixture/web-client.js";
import { journey } from "./journey.js";

const TABS = 60;
const PATH = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse";

// The other clients have the path of the stream below an address.
const ABOVE = PATH.replace(/\/sse$/, "");
// The edges have certificates of their own.
const ANY_CERTIFICATE = { anyCertificate: true };

/** Defines the tests behind a proxy of this kind. */
export function directStreams(kind) {
  journey(`@ownclouders/web-client behind ${kind}`, webClient("@ownclouders/web-client", ANY_CERTIFICATE), kind);

  for (const name of ["fetch-event-source", "ocis-sse-client"]) {
    let browser;
    const client = {
      prepare: async () => (browser = await Browser.start(ANY_CERTIFICATE)),
      start: async (address, token, ledger) => follow(await browser.page(), name, `${address}${ABOVE}`, token, ledger),
      stop: () => browser.stop(),
    };
    journey(`${name} behind ${kind}`, client, kind);
  }

  describe(`sixty tabs with direct streams behind ${kind}`, () => {
    const ledgers = [];
    let browser, context, installation, edge, nats, platform, service;

    before(async () => {
      [browser, nats] = await Promise.all([Browser.start(ANY_CERTIFICATE), Nats.start()]);
      service = await Service.start(nats, DirectStreams.SETTINGS);
      installation = await DirectStreams.start(kind, service);
      ({ edge, platform } = installation);
      context = await browser.context();
      const bearer = platform.signIn("einstein");
      for (let tab = 0; tab < TABS; tab++) {
        const [page, ledger] = [await context.newPage(), new Ledger()];
        ledgers.push(ledger);
        await page.goto(edge.address);
        await page.exposeFunction("note", (content) => ledger.note(content));
        await page.evaluate(read, [PATH, bearer]);
      }
      await service.hasStreams(TABS);
    });

    after(async () => {
      await browser.stop();
      await installation?.stop();
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
async function read([path, bearer]) {
  const response = await fetch(path, { headers: { Authorization: `Bearer ${bearer}` } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const receive = async () => {
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
  receive();
}

// What clients get after their machine has slept, their tab was frozen, or their connection has died silently.

import { after, afterEach, before, describe, it } from "node:test";
import { Browser, ENGINE } from "./fixture/browser.js";
import { eventually } from "./fixture/eventually.js";
import { Ledger } from "./fixture/ledger.js";
import { Link } from "./fixture/link.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";
import { follow } from "./fixture/tab.js";

// Chromium delivers no more of a response to `fetch` after its page was frozen. Some clients notice only that the connection ends.
const CLIENTS = {
  "a browser's EventSource": { module: "event-source" },
  "ocis-sse-client": { module: "ocis-sse-client" },
  "ocis-sse-client without sharing": { module: "ocis-sse-client", options: { share: false } },
  "@microsoft/fetch-event-source": { module: "fetch-event-source", noticesEndOnly: true },
  "@ownclouders/web-client": { module: "web-client", mayRepeat: true, skipsWait: true, noticesEndOnly: true },
};

describe("after a sleep", () => {
  let browser, nats, service, link, page, ledger;

  before(async () => {
    [browser, nats] = await Promise.all([Browser.start({ freezable: true }), Nats.start()]);
    service = await Service.start(nats, {
      SSE_TOKEN_COOKIE: "token",
      SSE_CORS_ALLOW_ORIGINS: browser.origin,
      SSE_KEEPALIVE_INTERVAL: "1s",
    });
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await nats.stop();
  });

  const publish = (content) => nats.publish(["einstein"], "userlog-notification", content);

  /** Opens a stream through a link of its own, and has received an event. */
  async function open({ module, mayRepeat }, options) {
    [page, link, ledger] = [await browser.page(), await Link.to(service.port), new Ledger({ mayRepeat })];
    await follow(page, module, link.address, token("einstein"), ledger, options);
    await service.hasStreams(1);
    await publish("before");
    await ledger.has("before");
  }

  async function close() {
    await page.close();
    await link.cut();
    await service.hasStreams(0);
  }

  /** Publishes events, and returns their contents. */
  async function publishSome(when) {
    const contents = Array.from({ length: 20 }, (_, number) => `${when} ${number}`);
    for (const content of contents) await publish(content);
    return contents;
  }

  for (const [name, client] of Object.entries(CLIENTS)) {
    describe(`${name} misses nothing`, () => {
      before(() => open(client, client.options));
      after(close);

      const reconnect = async () => {
        if (!client.skipsWait) return;
        await page.waitForFunction(() => window.reconnect);
        await page.evaluate(() => window.reconnect());
      };

      it("if its connection has outlived the sleep", async () => {
        await browser.sleep();
        const contents = await publishSome("asleep");
        browser.wake();
        await ledger.has(...contents);
      });

      it("if its connection was reset meanwhile", async () => {
        await browser.sleep();
        await link.cut();
        await service.hasStreams(0);
        const contents = await publishSome("asleep and cut off");
        await link.restore();
        browser.wake();
        await reconnect();
        await ledger.has(...contents);
      });

      const skip = ENGINE !== "chromium" && "its driver cannot freeze a tab";
      it("if its tab was frozen", { skip }, async () => {
        await page.evaluate(() => {
          window.lifecycle = [];
          for (const type of ["freeze", "resume"]) document.addEventListener(type, () => window.lifecycle.push(type));
        });
        await page.freeze();
        await eventually("the page is frozen", () => page.evaluate(() => window.lifecycle.includes("freeze")));
        const contents = await publishSome("frozen");
        await page.unfreeze();
        await page.waitForFunction(() => window.lifecycle.includes("resume"));
        if (client.noticesEndOnly) {
          await link.cut();
          await link.restore();
          await reconnect();
        }
        await ledger.has(...contents);
      });
    });
  }

  describe("ocis-sse-client continues a discarded tab", () => {
    afterEach(close);

    it("after the last event id that the page has kept", async () => {
      await open(CLIENTS["ocis-sse-client"]);
      const lastEventId = await page.evaluate(() => window.stream.lastEventId);
      await page.close();
      await service.hasStreams(0);
      const contents = await publishSome("discarded");
      page = await browser.page();
      await follow(page, "ocis-sse-client", link.address, token("einstein"), ledger, { lastEventId });
      await ledger.has(...contents);
    });
  });

  describe("ocis-sse-client replaces a connection that has died silently", () => {
    afterEach(close);

    const ended = () => service.metric('sse_connections_closed_total{reason="client"}');
    const dies = async () => {
      const before = await ended();
      link.lose();
      // The client may have returned by now.
      await eventually("the service has noticed it", async () => (await ended()) > before);
      return publishSome("dead");
    };

    it("when it hears nothing for maxSilence", async () => {
      await open(CLIENTS["ocis-sse-client"], { maxSilence: 4000 });
      await ledger.has(...(await dies()));
    });

    it("when the browser is online again", async () => {
      await open(CLIENTS["ocis-sse-client"]);
      const contents = await dies();
      if (ENGINE === "chromium") {
        await page.setOfflineMode(true);
        await page.setOfflineMode(false);
      } else {
        // The other drivers cannot take a browser offline.
        await page.evaluate(() => void dispatchEvent(new Event("online")));
      }
      await ledger.has(...contents);
    });

    it("when the clock has moved on", async () => {
      await open(CLIENTS["ocis-sse-client"], { share: false });
      const contents = await dies();
      await page.evaluate(() => {
        const { now } = Date;
        Date.now = () => now() + 8 * 3600 * 1000;
      });
      await ledger.has(...contents);
    });
  });
});

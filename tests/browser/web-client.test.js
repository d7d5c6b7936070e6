import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/chromium.js";
import { eventually } from "./fixture/eventually.js";
import { Ledger } from "./fixture/ledger.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";
import { follow } from "./fixture/tab.js";
import { journey } from "./journey.js";

let browser, page;

journey("@ownclouders/web-client", {
  // The client sends no Last-Event-ID; the service recognizes it by its X-Request-ID.
  mayRepeat: true,
  prepare: async () => (browser = await Browser.start()),
  start: async (address, token, ledger) => {
    page = await browser.page();
    await page.clock.install();
    await follow(page, "web-client", address, token, ledger);
  },
  // Skips the 30 to 45 seconds before it reconnects.
  skipWait: async () => {
    await page.waitForFunction(() => window.waits);
    await page.evaluate(() => (window.waits = false));
    await page.clock.fastForward(45_000);
  },
  stop: () => browser.stop(),
});

describe("@ownclouders/web-client, after two changes of language", () => {
  let browser, nats, service;

  before(async () => {
    [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
    service = await Service.start(nats);
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await nats.stop();
  });

  // The client reuses the controller with which it has aborted its first stream, so it never closes another one.
  it("leaves a stream open that the service replaces", async () => {
    const page = await browser.page();
    await follow(page, "web-client", `http://127.0.0.1:${service.port}`, token("einstein"), new Ledger());
    for (const [language, streams] of [["fr", 1], ["de", 2]]) {
      const answer = page.waitForResponse((response) => response.request().headers()["accept-language"] === language);
      await page.evaluate(
        async (language) => (await import("/clients/web-client.js")).changeLanguage(language),
        language,
      );
      await answer;
      await service.hasStreams(streams);
    }
    const replaced = 'sse_connections_closed_total{reason="replaced"}';
    await eventually("the older one ends", async () => (await service.metric(replaced)) === 1);
    await service.hasStreams(1);
  });
});

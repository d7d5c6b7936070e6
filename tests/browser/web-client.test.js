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
  // It sends no Last-Event-ID; the service knows it by its X-Request-ID.
  repeats: true,
  prepare: async () => (browser = await Browser.start()),
  start: async (address, token, ledger) => {
    page = await browser.page();
    await page.clock.install();
    await follow(page, "web-client", address, token, ledger);
  },
  // It waits for 30 to 45 seconds, which pass at once.
  hurry: async () => {
    await page.waitForFunction(() => window.waits);
    await page.evaluate(() => (window.waits = false));
    await page.clock.fastForward(45_000);
  },
  stop: () => browser.stop(),
});

describe("@ownclouders/web-client, whose language changes twice", () => {
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

  // It uses the controller again with which it has aborted its first stream, and so never closes another.
  it("leaves a stream open, which the service ends", async () => {
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

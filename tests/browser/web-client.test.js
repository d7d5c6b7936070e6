import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { eventually } from "./fixture/eventually.js";
import { Ledger } from "./fixture/ledger.js";
import { Link } from "./fixture/link.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";
import { follow } from "./fixture/tab.js";
import { webClient } from "./fixture/web-client.js";
import { journey } from "./journey.js";

journey("@ownclouders/web-client", webClient());

describe("@ownclouders/web-client, after two changes of language", () => {
  let browser, nats, service, link;

  before(async () => {
    [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
    service = await Service.start(nats);
    link = await Link.to(service.port);
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await link?.cut();
    await nats.stop();
  });

  // The client reuses the controller with which it has aborted its first stream, so it never closes another one.
  it("leaves a stream open that the service replaces", async () => {
    const page = await browser.page();
    await follow(page, "web-client", link.address, token("einstein"), new Ledger());
    for (const [language, streams] of [["fr", 1], ["de", 2]]) {
      await page.evaluate(
        async (language) => (await import("/clients/web-client.js")).changeLanguage(language),
        language,
      );
      await eventually("it reconnects", () => link.requests.some(({ headers }) => headers["accept-language"] === language));
      await service.hasStreams(streams);
    }
    const replaced = 'sse_connections_closed_total{reason="replaced"}';
    await eventually("the older one ends", async () => (await service.metric(replaced)) === 1);
    await service.hasStreams(1);
  });
});

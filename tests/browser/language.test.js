// The reactions of clients to a change of language. The journey tests that each client gets the next event in the new language.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { eventually } from "./fixture/eventually.js";
import { follow } from "./fixture/tab.js";
import { Ledger } from "./fixture/ledger.js";
import { Link } from "./fixture/link.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";

const PATH = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse";

describe("a change of language", () => {
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

  it("makes web-client reconnect without a loss", async () => {
    const [page, ledger] = [await browser.page(), new Ledger()];
    await follow(page, "web-client", link.address, token("einstein"), ledger);
    await service.hasStreams(1);
    await page.evaluate(async () => (await import("/clients/web-client.js")).changeLanguage("fr"));
    await eventually("it reconnects", () => link.requests.some(({ headers }) => headers["accept-language"] === "fr"));
    await nats.publish(["einstein"], "userlog-notification", "Hello", { fr: "Bonjour" });
    await ledger.has("Bonjour");
    await page.close();
    await service.hasStreams(0);
  });

  it("is a property of ocis-sse-client, in all tabs", async () => {
    const context = await browser.context();
    const tabs = [];
    for (let tab = 0; tab < 2; tab++) {
      const page = await browser.page(context);
      await page.evaluate(
        async ([address, token]) => {
          const { EventStream } = await import("/ocis-sse-client/index.js");
          window.stream = new EventStream(address, { token });
          window.languages = [];
          window.errors = [];
          window.stream.addEventListener("languagechange", () => window.languages.push(window.stream.language));
          window.stream.addEventListener("error", ({ detail }) => window.errors.push(detail.status));
        },
        [link.address + PATH, token("marie")],
      );
      await page.waitForFunction(() => window.languages.length === 1);
      tabs.push(page);
    }
    const requested = link.responses.findLast(({ headers }) => headers["content-language"]).headers["content-language"];
    await tabs[0].evaluate(() => (window.stream.language = "de-AT"));
    for (const page of tabs) {
      await page.waitForFunction(() => window.languages.length === 2);
      assert.deepEqual(await page.evaluate(() => window.languages), [requested, "de-AT"]);
    }
    await tabs[1].evaluate(() => (window.stream.language = null));
    for (const page of tabs) await page.waitForFunction((language) => window.stream.language === language, requested);
    await tabs[0].evaluate(() => (window.stream.language = "no language"));
    await tabs[0].waitForFunction(() => window.errors.length === 1);
    assert.deepEqual(await tabs[0].evaluate(() => window.errors), [422]);
    assert.equal(await tabs[0].evaluate(() => window.stream.readyState), 1);
  });
});

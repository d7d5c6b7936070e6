// The reactions of clients to a change of language. The journey tests that each client gets the next event in the new language.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/chromium.js";
import { follow } from "./fixture/tab.js";
import { Ledger } from "./fixture/ledger.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";

const PATH = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse";

describe("a change of language", () => {
  let browser, nats, service, address;

  before(async () => {
    [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
    service = await Service.start(nats);
    address = `http://127.0.0.1:${service.port}`;
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await nats.stop();
  });

  it("makes web-client reconnect without a loss", async () => {
    const [page, ledger] = [await browser.page(), new Ledger()];
    await follow(page, "web-client", address, token("einstein"), ledger);
    await service.hasStreams(1);
    const again = page.waitForRequest((request) => request.headers()["accept-language"] === "fr");
    await page.evaluate(async () => (await import("/clients/web-client.js")).changeLanguage("fr"));
    await again;
    await nats.publish(["einstein"], "userlog-notification", "Hello", { fr: "Bonjour" });
    await ledger.has("Bonjour");
    await page.close();
    await service.hasStreams(0);
  });

  it("is a property of ocis-sse-client, in all tabs", async () => {
    const context = await browser.chromium.newContext();
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
        [address + PATH, token("marie")],
      );
      await page.waitForFunction(() => window.languages.length === 1);
      tabs.push(page);
    }
    await tabs[0].evaluate(() => (window.stream.language = "de-AT"));
    for (const page of tabs) {
      await page.waitForFunction(() => window.languages.length === 2);
      assert.deepEqual(await page.evaluate(() => window.languages), ["en-US", "de-AT"]);
    }
    await tabs[1].evaluate(() => (window.stream.language = null));
    for (const page of tabs) await page.waitForFunction(() => window.stream.language === "en-US");
    await tabs[0].evaluate(() => (window.stream.language = "no language"));
    await tabs[0].waitForFunction(() => window.errors.length === 1);
    assert.deepEqual(await tabs[0].evaluate(() => window.errors), [422]);
    assert.equal(await tabs[0].evaluate(() => window.stream.readyState), 1);
  });
});

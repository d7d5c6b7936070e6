// A change of language, with each client in a browser: the next event comes in the other language, on the open stream.

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
    service = await Service.start(nats, { SSE_TOKEN_COOKIE: "token", SSE_CORS_ALLOW_ORIGINS: browser.origin });
    address = `http://127.0.0.1:${service.port}`;
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await nats.stop();
  });

  const publish = (user) => nats.publish([user], "userlog-notification", "Hello", { de: "Hallo", fr: "Bonjour" });

  for (const name of ["event-source", "fetch-event-source", "web-client"]) {
    it(`reaches ${name} on its open stream`, async () => {
      const [page, ledger, user] = [await browser.page(), new Ledger(), `reader with ${name}`];
      await follow(page, name, address, token(user), ledger);
      await service.hasStreams(1);
      await publish(user);
      await ledger.has("Hello");
      const chosen = await fetch(address + PATH + "/language", {
        method: "PUT",
        headers: { "x-access-token": token(user), "content-type": "application/json" },
        body: JSON.stringify({ language: "de-AT" }),
      });
      assert.equal(chosen.status, 200);
      await publish(user);
      await ledger.has("Hallo");
      await page.close();
      await service.hasStreams(0);
    });
  }

  it("with which web-client reconnects loses nothing", async () => {
    const [page, ledger] = [await browser.page(), new Ledger()];
    await follow(page, "web-client", address, token("einstein"), ledger);
    await service.hasStreams(1);
    const again = page.waitForRequest((request) => request.headers()["accept-language"] === "fr");
    await page.evaluate(async () => (await import("/clients/web-client.js")).changeLanguage("fr"));
    await again;
    await publish("einstein");
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

// The page of the API description: a reader runs an operation.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";
import { visit } from "./fixture/visit.js";

describe("the docs page", () => {
  let browser, nats, service, page;

  before(async () => {
    [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
    service = await Service.start(nats);
    page = await visit(browser, `http://127.0.0.1:${service.port}/docs`);
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await nats.stop();
  });

  async function execute(operation) {
    const block = page.locator(".opblock").filter({ has: page.locator(`.opblock-summary-${operation}`) }).last();
    await block.locator(".opblock-summary-control").click();
    await block.getByRole("button", { name: "Try it out" }).click();
    await block.getByRole("button", { name: "Execute" }).click();
    return block.locator(".live-responses-table");
  }

  it("lets a reader authorize and choose a language", async () => {
    await page.locator(".btn.authorize").click();
    await page.locator(".auth-container input").first().fill(token("einstein"));
    await page.locator(".auth-btn-wrapper .authorize").first().click();
    await page.locator(".btn-done").first().click();
    const chosen = await execute("put");
    await chosen.getByText('"language": "de-AT"').waitFor();
    const known = await execute("get");
    await known.getByText('"language": "de-AT"').waitFor();
  });

  it("loads no external resource and causes no error", () => assert.deepEqual(page.errors, []));
});

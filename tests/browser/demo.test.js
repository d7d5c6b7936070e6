// The demo page: published events arrive, also after a disconnect.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { Process } from "./fixture/process.js";
import { visit } from "./fixture/visit.js";

const PROGRAM = process.env.OCIS_SSE ?? fileURLToPath(new URL("../../target/debug/ocis-sse", import.meta.url));

describe("the demo page", () => {
  let browser, demo, page;

  before(async () => {
    browser = await Browser.start();
    const address = await new Promise((resolve) => {
      const onLine = (line) => line.includes("http://") && resolve(line.trim());
      demo = new Process(PROGRAM, ["demo", "--addr", "127.0.0.1:0"], { output: "stdout", onLine });
    });
    page = await visit(browser, address);
    await page.waitForFunction(() => document.querySelectorAll("[data-state=live]").length === 3);
  });

  after(async () => {
    await browser.stop();
    await demo.end("SIGTERM");
  });

  const panel = (name) => page.getByRole("region", { name, exact: true });
  const publish = async (type) => {
    await page.fill("[name=type]", type);
    await page.getByRole("button", { name: "Publish" }).click();
  };
  const events = async (name, ...types) => {
    const titles = panel(name).locator("li:not(.note) strong");
    await titles.nth(types.length - 1).waitFor();
    assert.deepEqual(await titles.allTextContents(), types.toReversed());
  };

  it("shows an event to its recipients only", async () => {
    await publish("one");
    await events("einstein", "one");
    await events("marie", "one");
    assert.equal(await panel("richard").locator("li").count(), 0);
  });

  it("shows events that were published while disconnected", async () => {
    await panel("einstein").getByRole("button", { name: "Disconnect" }).click();
    await publish("two");
    await events("marie", "one", "two");
    await publish("three");
    await panel("einstein").getByText("2 events are waiting").waitFor();
    await events("einstein", "one");
    await panel("einstein").getByRole("button", { name: "Reconnect" }).click();
    await events("einstein", "one", "two", "three");
    const notes = await panel("einstein").locator(".note").allTextContents();
    assert.match(notes[0], /^reconnected at .*, resumed after [0-9a-f]+-1$/);
    assert.match(notes[1], /^disconnected at /);
    await publish("four");
    await events("einstein", "one", "two", "three", "four");
  });

  it("shows the next event in the chosen language", async () => {
    await panel("marie").getByLabel("Language of marie").selectOption("Deutsch");
    await panel("marie").getByText("language changed to de").waitFor();
    await publish("five");
    await events("marie", "one", "two", "three", "four", "five");
    await events("einstein", "one", "two", "three", "four", "five");
    const latest = (name) => panel(name).locator("li pre").first().textContent();
    assert.match(await latest("marie"), /Der Bericht heißt jetzt anders/);
    assert.match(await latest("einstein"), /The report has a new name/);
    await panel("marie").getByLabel("Language of marie").selectOption("browser default");
    await panel("marie").getByText("language changed to en").waitFor();
  });

  it("causes no error", () => assert.deepEqual(page.errors, []));
});

// The page of the demonstration: publish, see it arrive, cut a line and see that nothing is missing.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/chromium.js";
import { Process } from "./fixture/process.js";
import { visit } from "./fixture/visit.js";

const PROGRAM = process.env.OCIS_SSE ?? fileURLToPath(new URL("../../target/debug/ocis-sse", import.meta.url));

describe("the demonstration's page", () => {
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

  it("shows an event to whom it is for and to nobody else", async () => {
    await publish("one");
    await events("einstein", "one");
    await events("marie", "one");
    assert.equal(await panel("richard").locator("li").count(), 0);
  });

  it("gives back what was published while a line was cut", async () => {
    await panel("einstein").getByRole("button", { name: "Cut the line" }).click();
    await publish("two");
    await events("marie", "one", "two");
    await publish("three");
    await panel("einstein").getByText("2 events wait for the line").waitFor();
    await events("einstein", "one");
    await panel("einstein").getByRole("button", { name: "Connect again" }).click();
    await events("einstein", "one", "two", "three");
    const notes = await panel("einstein").locator(".note").allTextContents();
    assert.match(notes[0], /^connected again at .*, asked for what came after [0-9a-f]+-1$/);
    assert.match(notes[1], /^the line was cut at /);
    await publish("four");
    await events("einstein", "one", "two", "three", "four");
  });

  it("shows the next event in the language that somebody has chosen", async () => {
    await panel("marie").getByLabel("What marie reads").selectOption("Deutsch");
    await panel("marie").getByText("from now on in de").waitFor();
    await publish("five");
    await events("marie", "one", "two", "three", "four", "five");
    await events("einstein", "one", "two", "three", "four", "five");
    const latest = (name) => panel(name).locator("li pre").first().textContent();
    assert.match(await latest("marie"), /Der Bericht heißt jetzt anders/);
    assert.match(await latest("einstein"), /The report has a new name/);
    await panel("marie").getByLabel("What marie reads").selectOption("what the browser asks for");
    await panel("marie").getByText("from now on in en").waitFor();
  });

  it("has no fault", () => assert.deepEqual(page.complaints, []));
});

// The demo page: published events arrive, also after a cut connection and at a slow client.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { eventually } from "./fixture/eventually.js";
import { startUntil } from "./fixture/process.js";
import { visit } from "./fixture/visit.js";

const PROGRAM = process.env.OCIS_SSE ?? fileURLToPath(new URL("../../target/debug/ocis-sse", import.meta.url));

describe("the demo page", () => {
  let browser, demo, address, page;

  before(async () => {
    browser = await Browser.start();
    const found = (line) => line.includes("http://") && line.trim();
    [demo, address] = await startUntil(PROGRAM, ["demo", "--addr", "127.0.0.1:0"], { output: "stdout" }, found);
    page = await visit(browser, address);
    await page.waitForFunction(() => document.querySelectorAll("[data-state=live]").length === 3);
  });

  after(async () => {
    await browser.stop();
    await demo?.end("SIGTERM");
  });

  const panel = (name) => page.getByRole("region", { name, exact: true });
  const publish = async (type) => {
    await page.fill("[name=type]", type);
    await page.getByRole("button", { name: "Publish", exact: true }).click();
  };
  const events = async (name, ...types) => {
    const titles = panel(name).locator(".events li:not(.note) strong");
    await titles.nth(types.length - 1).waitFor();
    assert.deepEqual(await titles.allTextContents(), types.toReversed());
  };

  it("shows an event to its recipients only", async () => {
    await publish("one");
    await events("einstein", "one");
    await events("marie", "one");
    assert.equal(await panel("richard").locator(".events li").count(), 0);
  });

  it("shows events that were published while disconnected", async () => {
    await panel("einstein").getByRole("button", { name: "Disconnect" }).click();
    await publish("two");
    await events("marie", "one", "two");
    await publish("three");
    await panel("einstein").getByText("2 events published meanwhile").waitFor();
    await events("einstein", "one");
    await panel("einstein").getByRole("button", { name: "Reconnect" }).click();
    await events("einstein", "one", "two", "three");
    await publish("four");
    await events("einstein", "one", "two", "three", "four");
  });

  it("shows the cut connection as a timeline", async () => {
    const periods = await panel("einstein").getByRole("list", { name: "Connection of einstein" }).locator("li").allInnerTexts();
    const time = "\\d\\d:\\d\\d:\\d\\d";
    const expected = [
      `^live ${time} to ${time} \\(\\d+ s\\)\\s+1 event received$`,
      `^cut ${time} to ${time} \\(\\d+ s\\)\\s+2 events published meanwhile$`,
      `^live since ${time}\\s+3 events received\\s+resumed after [0-9a-f]+-1$`,
    ];
    assert.equal(periods.length, expected.length);
    periods.forEach((period, index) => assert.match(period.trim(), new RegExp(expected[index])));
  });

  it("shows the next event in the chosen language", async () => {
    await panel("marie").getByLabel("Language of marie").selectOption("Deutsch");
    await panel("marie").getByText("language changed to de").waitFor();
    await publish("five");
    await events("marie", "one", "two", "three", "four", "five");
    await events("einstein", "one", "two", "three", "four", "five");
    const latest = (name) => panel(name).locator(".events pre").first().textContent();
    assert.match(await latest("marie"), /Der Bericht heißt jetzt anders/);
    assert.match(await latest("einstein"), /The report has a new name/);
    await panel("marie").getByLabel("Language of marie").selectOption("browser default");
    await panel("marie").getByText("language changed to en").waitFor();
  });

  it("shows that a slow client delays no other", async () => {
    const progress = (name) => panel(name).locator(".progress");
    const complete = /^200 of 200 events, in order, none missing; the slowest event took ([\d.]+) s$/;
    const slowest = async (name) => Number(complete.exec(await progress(name).innerText())[1]);
    await panel("marie").getByLabel("Read slowly").check();
    await page.getByRole("button", { name: "Publish 200 large events" }).click();
    await progress("einstein").getByText(complete).waitFor();
    assert.match(await progress("marie").innerText(), /^\d+ of 200 events, \d+ behind$/);
    await panel("marie").getByLabel("Read slowly").uncheck();
    await progress("marie").getByText(complete).waitFor();
    assert.ok((await slowest("einstein")) < (await slowest("marie")));
  });

  describe("copies", () => {
    const copied = async (heading) => {
      await page.getByRole("region", { name: heading }).getByRole("button", { name: "Copy" }).click();
      await page.getByRole("region", { name: heading }).getByText("Copied.").waitFor();
      return page.evaluate(() => navigator.clipboard.readText());
    };

    before(() => page.context().grantPermissions(["clipboard-read", "clipboard-write"]));

    it("a command for the terminal", async () => {
      const command = await copied("Follow in a terminal");
      const options = { output: "stdout", env: process.env };
      // The first block of a stream has no event.
      const follows = startUntil("sh", ["-c", `exec ${command}`], options, (line) => line === "");
      const [curl] = await follows;
      await publish("for the terminal");
      await eventually("an event in the terminal", () => curl.lines.includes("event: for the terminal"));
      await curl.end("SIGTERM");
    });

    /** Runs the copied script in `target` and waits until it prints an event. */
    const runs = async (target, type) => {
      const printed = [];
      target.on("console", (message) => message.type() === "log" && printed.push(message.text()));
      // The script's value is a promise, which this does not wait for.
      await target.evaluate(`${await copied("Follow in the console of any page")}\nundefined`);
      await eventually("an open stream", () => printed.length > 0);
      await publish(type);
      await eventually("an event in the console", () => printed.join("").includes(`event: ${type}\n`));
    };

    it("a script for a page of another origin", async () => {
      const other = await browser.page();
      await runs(other, "for another origin");
      await other.close();
    });

    it("a script for its own page", () => runs(page, "for its own page"));
  });

  it("causes no error", () => assert.deepEqual(page.errors, []));
});


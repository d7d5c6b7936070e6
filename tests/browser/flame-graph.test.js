// The flame graph: its script has to run under its Content-Security-Policy.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { Nats } from "./fixture/nats.js";
import { Service } from "./fixture/service.js";
import { visit } from "./fixture/visit.js";

describe("the flame graph", () => {
  let browser, nats, service, page;

  before(async () => {
    [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
    service = await Service.start(nats, { SSE_DEBUG_PPROF: "true", SSE_DEBUG_ZPAGES: "true" });
    // The profiler samples only a busy process.
    let busy = true;
    const ask = async () => {
      while (busy) await fetch(`http://${service.debug}/metrics`).then((answer) => answer.text());
    };
    const asking = ask();
    page = await visit(browser, `http://${service.debug}/debug/pprof/?seconds=2`);
    busy = false;
    await asking;
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await nats.stop();
  });

  it("zooms into a frame and resets", async () => {
    const zoomed = () => page.evaluate(() => !document.getElementById("unzoom").classList.contains("hide"));
    assert.equal(await zoomed(), false);
    await page.locator("#frames g").last().click();
    assert.equal(await zoomed(), true);
    await page.locator("#unzoom").click();
    assert.equal(await zoomed(), false);
  });

  it("loads no external resource and causes no error", () => assert.deepEqual(page.errors, []));

  it("is styled, like the page of spans", async () => {
    const spans = await visit(browser, `http://${service.debug}/debug/tracez`);
    const collapsed = await spans.evaluate(() => getComputedStyle(document.querySelector("table")).borderCollapse);
    assert.equal(collapsed, "collapse");
    assert.deepEqual(spans.errors, []);
  });
});

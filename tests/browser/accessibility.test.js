// The pages of the service are accessible: axe-core finds nothing, the keyboard reaches everything, and they fit a narrow window.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Browser, ENGINE } from "./fixture/browser.js";
import { Nats } from "./fixture/nats.js";
import { startUntil } from "./fixture/process.js";
import { Service, token } from "./fixture/service.js";

const PROGRAM = process.env.OCIS_SSE ?? fileURLToPath(new URL("../../target/debug/ocis-sse", import.meta.url));
const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const DEBUG_TOKEN = "let me in";
const WIDE = { width: 1200, height: 900 }, NARROW = { width: 320, height: 640 };

// Swagger UI puts links into the buttons that open its operations. Both reach the same operation.
const EXCLUDED_IN_DOCS = ["nested-interactive"];

// The media features of each mode, and its media query.
const MODES = {
  "light colours": [{ colorScheme: "light" }, "(prefers-color-scheme: light)"],
  "dark colours and reduced motion": [
    { colorScheme: "dark", reducedMotion: "reduce" },
    "(prefers-color-scheme: dark) and (prefers-reduced-motion: reduce)",
  ],
  "forced colours": [{ forcedColors: "active" }, "(forced-colors: active)"],
};

/** Starts a browser with these media features. Returns it with a page. */
async function open(media) {
  const browser = await Browser.start({ media });
  const page = await (await browser.context()).newPage();
  return { page, stop: () => browser.stop() };
}

for (const [mode, [media, query]] of Object.entries(MODES)) {
  const skip = ENGINE === "webkit" && media.forcedColors && "WebKitGTK has no forced colours";
  describe(`in ${mode},`, { skip }, () => {
    let browser, demo, address, nats, service, stream;

    before(async () => {
      const found = (line) => line.includes("http://") && line.trim();
      nats = await Nats.start();
      [browser, [demo, address], service] = await Promise.all([
        open(media),
        startUntil(PROGRAM, ["demo", "--addr", "127.0.0.1:0"], { output: "stdout" }, found),
        Service.start(nats, { SSE_DEBUG_TOKEN: DEBUG_TOKEN }),
      ]);
      stream = await fetch(`http://127.0.0.1:${service.port}/sse`, { headers: { "x-access-token": token("einstein") } });
    });

    after(async () => {
      await browser?.stop();
      await stream?.body.cancel();
      await Promise.all([demo?.end("SIGTERM"), service?.down()]);
      await nats?.stop();
    });

    const visit = async (url) => {
      await browser.page.setViewportSize(WIDE);
      await browser.page.goto(url);
    };
    const click = (selector) => browser.page.evaluate((selector) => document.querySelector(selector).click(), selector);
    const until = (selector) => browser.page.waitForFunction((selector) => document.querySelector(selector), selector);

    async function isAccessible(excluded = []) {
      const { page } = browser;
      assert.deepEqual(await page.evaluate(findings, excluded), []);
      await reachesEverything(page);
      if (media.reducedMotion) assert.deepEqual(await page.evaluate(fades), []);
      await page.setViewportSize(NARROW);
      assert.deepEqual(await page.evaluate(overflow), []);
      assert.deepEqual(await page.evaluate(findings, excluded), []);
      await page.setViewportSize(WIDE);
    }

    it("the browser has these colours and motions", async () => {
      assert.ok(await browser.page.evaluate((query) => matchMedia(query).matches, query));
    });

    describe("the demo page is accessible", () => {
      it("when its streams are live", async () => {
        await visit(address);
        await browser.page.waitForFunction(() => document.querySelectorAll("[data-state=live]").length === 3);
        await isAccessible();
      });

      it("when a stream is disconnected", async () => {
        await click("[data-state=live] button");
        await until("[data-kind=cut]");
        await isAccessible();
      });

      it("after events", async () => {
        await click("#burst");
        await browser.page.waitForFunction(() => document.querySelectorAll(".events")[1].children.length === 50);
        await click("[data-state=disconnected] button");
        await browser.page.waitForFunction(() => !/behind/.test(document.getElementById("panels").innerText));
        await isAccessible();
      });
    });

    describe("the inspect page is accessible", () => {
      it("when it asks for the token", async () => {
        await visit(`http://${service.debug}/inspect`);
        await until("#login:not([hidden])");
        await isAccessible();
      });

      it("when it shows streams and events", async () => {
        await browser.page.evaluate((token) => {
          document.querySelector("#login input").value = token;
          document.querySelector("#login button").click();
        }, DEBUG_TOKEN);
        await until("#content:not([hidden]) polyline");
        await browser.page.evaluate(() => {
          document.getElementById("id").value = "einstein";
          document.querySelector("#find button").click();
        });
        await nats.publish(["einstein"], "item-renamed", "{}");
        await until("#events tr");
        await until("#streams:not([hidden])");
        await isAccessible();
      });
    });

    describe("the docs page is accessible", () => {
      it("when its operations are closed", async () => {
        await visit(new URL("docs", address).href);
        await until(".opblock");
        await isAccessible(EXCLUDED_IN_DOCS);
      });

      it("when an operation is open", async () => {
        await click(".opblock-summary-put .opblock-summary-control");
        await until(".opblock-body .try-out__btn");
        await click(".try-out__btn");
        await until(".opblock-body .execute");
        await isAccessible(EXCLUDED_IN_DOCS);
      });
    });
  });
}

/** Presses Tab until each interactive element had the focus, and asserts that it was visible there. */
async function reachesEverything(page) {
  let left = await page.evaluate(markInteractive);
  // At the end of the page the focus leaves it, and browsers differ in how it comes back.
  for (let presses = left + 2; left > 0 && presses > 0; presses--) {
    await page.keyboard.press("Tab");
    left = await page.evaluate(markFocused);
  }
  assert.deepEqual(await page.evaluate(unreached), []);
}

/* ---- functions that run in the page ---- */

async function describeFindings(excluded) {
  const { violations } = await window.axe.run({ rules: Object.fromEntries(excluded.map((rule) => [rule, { enabled: false }])) });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html.slice(0, 120)} ${any[0]?.message ?? ""}`).join("\n")}`);
}

// Contains axe-core, because the policy of a page allows it to load and evaluate no further script.
const findings = new Function("excluded", `${AXE}\nreturn (${describeFindings})(excluded);`);

function markInteractive() {
  // Tab continues at the element that has the focus, so the body gets it.
  document.body.tabIndex = -1;
  document.body.focus();
  document.body.removeAttribute("tabindex");
  window.focused = new Map();
  const elements = document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]");
  window.interactive = [...elements].filter(
    (element) => element.tabIndex >= 0 && !element.disabled && element.checkVisibility({ visibilityProperty: true }),
  );
  return window.interactive.length;
}

function markFocused() {
  const focused = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(focused);
  window.focused.set(focused, outlineStyle !== "none" && parseFloat(outlineWidth) >= 2);
  return window.interactive.filter((element) => element.isConnected && !window.focused.has(element)).length;
}

function unreached() {
  const missed = window.interactive.filter((element) => element.isConnected && !window.focused.get(element));
  return missed.map((element) => `${window.focused.has(element) ? "no outline" : "not reached"}: ${element.outerHTML.slice(0, 120)}`);
}

function fades() {
  const animations = document.getAnimations().filter(({ effect }) => effect.getKeyframes().some(({ easing }) => !easing.startsWith("step")));
  return animations.map(({ effect }) => effect.target.outerHTML.slice(0, 120));
}

function overflow() {
  if (document.documentElement.scrollWidth <= innerWidth) return [];
  const wide = [...document.body.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > innerWidth);
  return [`${document.documentElement.scrollWidth} px`, ...wide.map((element) => element.outerHTML.slice(0, 80))];
}

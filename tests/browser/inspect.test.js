// The inspect page, used with the keyboard only.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";
import { visit } from "./fixture/visit.js";

const DEBUG_TOKEN = "let me in";

describe("the inspect page", () => {
  let browser, nats, service, page, streams;

  before(async () => {
    [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
    service = await Service.start(nats, { SSE_DEBUG_TOKEN: DEBUG_TOKEN });
    const headers = { "x-access-token": token("einstein"), "x-request-id": "tab-1" };
    streams = await Promise.all([1, 2].map(() => fetch(`http://127.0.0.1:${service.port}/sse`, { headers })));
    page = await visit(browser, `http://${service.debug}/inspect`);
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await nats.stop();
  });

  const type = async (text) => {
    await page.keyboard.type(text);
    await page.keyboard.press("Enter");
  };
  const shows = (selector, text) =>
    page.waitForFunction(([selector, text]) => document.querySelector(selector)?.innerText.includes(text), [selector, text]);

  it("shows nothing without the token", async () => {
    await page.waitForSelector("#login:not([hidden])");
    assert.equal(await page.isVisible("#content"), false);
    await type("let me");
    await shows("#login output", "The token is not valid.");
  });

  it("shows streams and events with the token", async () => {
    await type(DEBUG_TOKEN);
    await shows("#state", "ready: published events reach clients");
    await shows("#charts", "Streams\n\n2");
    await shows("#charts", "Users\n\n1");
    await nats.publish(["einstein", "marie"], "item-renamed", "a secret");
    await shows("#events", "item-renamed");
    assert.equal((await page.content()).includes("a secret"), false);
    await page.waitForFunction(() => document.querySelector("polyline").points.length > 1);
  });

  it("keeps the token for its tab and out of the URL", async () => {
    await page.reload();
    await shows("#state", "ready: published events reach clients");
    assert.equal(page.url().includes("let"), false);
    const other = await page.context().newPage();
    await other.goto(page.url());
    await other.waitForSelector("#login:not([hidden])");
    await other.close();
  });

  it("finds a user's streams and ends them", async () => {
    await page.focus("#id");
    await type("einstein");
    await shows("#found", "einstein has 2 open streams.");
    await shows("#streams", "tab-1");
    await page.focus("#end button");
    await page.keyboard.press("Enter");
    await shows("#found", "2 ended. einstein has no open stream.");
    for (const stream of streams) {
      assert.match(await stream.text(), /: an administrator has ended the stream\n\n$/);
    }
    await shows("#reasons", "an administrator ended it\n2");
  });

  describe("with two users", () => {
    const find = async (user) => {
      await page.fill("#id", user);
      await page.press("#id", "Enter");
    };
    /** Holds the next request to `path` until `release` is called. */
    const delay = async (path) => {
      let release;
      const held = new Promise((resolve) => (release = resolve));
      const seen = new Promise((resolve) =>
        page.route(path, async (route) => {
          resolve();
          await held;
          await route.continue();
        }, { times: 1 }));
      return { seen, release };
    };
    const endOf = (stream) => stream.text().then((text) => text.split("\n\n").at(-2));
    let early, late;

    before(async () => {
      const open = (user) => fetch(`http://127.0.0.1:${service.port}/sse`, { headers: { "x-access-token": token(user) } });
      [early, late] = await Promise.all(["early", "late"].map(open));
      await page.evaluate(() => {
        window.shown = [];
        const found = document.getElementById("found");
        new MutationObserver(() => window.shown.push(found.innerText)).observe(found, { childList: true });
      });
    });

    it("shows the latest user, not the latest answer", async () => {
      const answer = await delay("**/inspect/streams?user=early");
      await find("early");
      await answer.seen;
      await find("late");
      await shows("#found", "late has 1 open stream.");
      answer.release();
      // The user is shown again with each sample; by then the stale answer has arrived.
      for (let n = 0; n < 2; n++) await page.waitForResponse("**/inspect/streams?user=late");
      const shown = await page.evaluate(() => window.shown);
      assert.deepEqual(shown.filter((text) => text.startsWith("early")), []);
    });

    it("ends the streams of the shown user, and then shows the next one", async () => {
      const answer = await delay("**/inspect/streams/end");
      await page.click("#end button");
      await answer.seen;
      await find("early");
      await shows("#found", "early has 1 open stream.");
      answer.release();
      await shows("#found", "late: 1 ended. early has 1 open stream.");
      assert.equal(await endOf(late), ": an administrator has ended the stream");
      await page.click("#end button");
      await shows("#found", "1 ended. early has no open stream.");
      assert.equal(await endOf(early), ": an administrator has ended the stream");
    });
  });

  it("shows an outage of the service and recovers", async () => {
    await service.down();
    await page.waitForSelector("#state[data-state=gone]");
    await service.up();
    await page.waitForSelector("#state[data-state=ready]");
  });

  it("forgets the token and causes no error", async () => {
    await page.click("#forget");
    await page.waitForSelector("#login:not([hidden])");
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.deepEqual(page.errors, []);
  });
});

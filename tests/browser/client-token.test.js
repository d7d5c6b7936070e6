// The token of ocis-sse-client: renewal, and rejected requests.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { eventually } from "./fixture/eventually.js";
import { Link } from "./fixture/link.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";

// When a stream is renewed, the service may still count the earlier one.
const MAX_STREAMS = 2;

describe("ocis-sse-client", () => {
  const links = [];
  const pages = [];
  let browser, nats, service;

  before(async () => {
    [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
    service = await Service.start(nats, { SSE_MAX_CONNECTIONS_PER_USER: String(MAX_STREAMS) });
  });

  afterEach(async () => {
    await Promise.all(pages.splice(0).map((page) => page.close()));
    await service.hasStreams(0);
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await Promise.all(links.map((link) => link.cut()));
    await nats.stop();
  });

  /** Opens a page with a stream. The `tokens` are supplied in turn; the last one is repeated. */
  async function open(tokens, options = {}) {
    const [page, link] = [await browser.page(), await Link.to(service.port)];
    links.push(link);
    pages.push(page);
    page.exchange = link;
    await page.evaluate(
      async ([address, tokens, options]) => {
        const { EventStream } = await import("/ocis-sse-client/index.js");
        window.asked = 0;
        window.events = [];
        const token = () => tokens[Math.min(window.asked++, tokens.length - 1)];
        window.stream = new EventStream(address, { token, share: false, ...options });
        for (const type of ["open", "error", "message", "stream-gap"]) {
          window.stream.addEventListener(type, (event) => window.events.push([type, event.detail ?? event.data ?? null]));
        }
      },
      [`${link.address}/sse`, tokens, options],
    );
    return page;
  }

  const streams = (page) => page.exchange.requests.filter(({ method }) => method === "GET");
  const isOpen = (page) => page.waitForFunction(() => window.stream.readyState === 1);
  const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;

  it("renews its token before it expires, without an interruption", async () => {
    const [first, second] = [token("renewed", inSeconds(10)), token("renewed")];
    const page = await open([first, second]);
    await isOpen(page);
    await eventually("the second", () => streams(page).length === 2);
    const { headers } = streams(page)[1];
    assert.equal(headers.authorization, `Bearer ${second}`);
    assert.notEqual(headers["last-event-id"], undefined);
    await service.hasStreams(1);
    await nats.publish(["renewed"], "message", "hello");
    await page.waitForFunction(() => window.events.some(([type]) => type === "message"));
    assert.deepEqual(await page.evaluate(() => window.events), [["open", null], ["message", "hello"]]);
    assert.equal(await service.metric('sse_connections_closed_total{reason="expired"}'), 0);
  });

  it("asks for another token once after a 401", async () => {
    const page = await open(["nonsense", token("second")]);
    await isOpen(page);
    assert.equal(streams(page).length, 2);

    const rejected = await open(["nonsense"]);
    await rejected.waitForFunction(() => window.stream.readyState === 2);
    assert.equal(streams(rejected).length, 2);
    assert.deepEqual(await rejected.evaluate(() => window.events), [["error", { status: 401 }]]);
  });

  it("waits for the time in Retry-After", async () => {
    const holders = [];
    for (let n = 0; n < MAX_STREAMS; n++) holders.push(await open([token("full")]));
    await service.hasStreams(MAX_STREAMS);
    const page = await open([token("full")]);
    const [rejected] = await eventually("a rejection", () => {
      const responses = page.exchange.responses.filter(({ status }) => status === "429");
      return responses.length && responses;
    });
    const retryAfter = Number(rejected.headers["retry-after"]);
    assert.ok(retryAfter > 0);
    await holders[0].evaluate(() => window.stream.close());
    await isOpen(page);
    const waited = streams(page).at(-1).time - rejected.time;
    assert.ok(waited >= retryAfter * 900, `${waited} ms instead of ${retryAfter} s`);
  });

  it("reports a gap", async () => {
    const page = await open([token("gap")], { lastEventId: "1-1" });
    await page.waitForFunction(() => window.events.some(([type]) => type === "stream-gap"));
    const [, gap] = (await page.evaluate(() => window.events)).find(([type]) => type === "stream-gap");
    assert.deepEqual(JSON.parse(gap), { last_event_id: "1-1", reason: "unknown" });
  });
});

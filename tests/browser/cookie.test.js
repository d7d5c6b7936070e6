// The pages that may open a stream with the token in a cookie. The browser sends the cookie for all of them: another port of this
// machine is the same site.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { Link } from "./fixture/link.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";

describe("a token in a cookie", () => {
  let browser, other, nats, service, link;

  before(async () => {
    [browser, other, nats] = await Promise.all([Browser.start(), Browser.start(), Nats.start()]);
    service = await Service.start(nats, { SSE_TOKEN_COOKIE: "token", SSE_CORS_ALLOW_ORIGINS: browser.origin });
    link = await Link.to(service.port);
  });

  after(async () => {
    await Promise.all([browser.stop(), other.stop()]);
    await service?.down();
    await link?.cut();
    await nats.stop();
  });

  /** Opens a stream in this page. Returns the outcome, and the headers of the request as sent. */
  async function open(page) {
    const outcome = await page.evaluate(
      ([address, token]) => {
        document.cookie = `token=${token}`;
        const source = new EventSource(`${address}/sse`, { withCredentials: true });
        return new Promise((resolve) => {
          source.onopen = () => resolve("open");
          source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? "rejected" : "lost");
        });
      },
      [link.address, token("einstein")],
    );
    return [outcome, link.requests.findLast(({ path }) => path === "/sse").headers];
  }

  it("opens a stream for a page of a listed origin", async () => {
    const [outcome, headers] = await open(await browser.page());
    assert.equal(outcome, "open");
    assert.equal(headers.origin, browser.origin);
  });

  it("opens a stream for a page of the service's own origin", async () => {
    const page = await browser.page();
    await page.goto(`${link.address}/openapi.json`);
    const [outcome, headers] = await open(page);
    assert.equal(outcome, "open");
    assert.equal(headers.origin, undefined);
    assert.equal(headers["sec-fetch-site"], "same-origin");
  });

  it("opens no stream for a page of another origin, although the browser sends it", async () => {
    const [outcome, headers] = await open(await other.page());
    assert.equal(outcome, "rejected");
    assert.equal(headers.cookie, `token=${token("einstein")}`);
    assert.equal(await service.metric('sse_auth_failures_total{reason="missing"}'), 1);
  });
});

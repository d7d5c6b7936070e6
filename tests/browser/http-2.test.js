// Sixty tabs of one browser over one connection. HTTP/1.1 allows six.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Browser, ENGINE } from "./fixture/browser.js";
import { eventually } from "./fixture/eventually.js";
import { Ledger } from "./fixture/ledger.js";
import { Link } from "./fixture/link.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";

const TABS = 60;

describe("sixty tabs over HTTP/2", () => {
  const ledgers = [];
  let browser, context, nats, service, link, address;

  before(async () => {
    // The service uses a temporary self-signed certificate.
    [browser, nats] = await Promise.all([Browser.start({ anyCertificate: true }), Nats.start()]);
    service = await Service.start(nats, {
      OCIS_HTTP_TLS_ENABLED: "true",
      SSE_TOKEN_COOKIE: "token",
      SSE_WRITE_TIMEOUT: "10s",
      SSE_CORS_ALLOW_ORIGINS: browser.origin,
    });
    link = await Link.to(service.port);
    address = `https://127.0.0.1:${link.port}`;
    context = await browser.context();
    for (let tab = 0; tab < TABS; tab++) {
      const [page, ledger] = [await context.newPage(), new Ledger()];
      ledgers.push(ledger);
      await page.goto(`${address}/openapi.json`);
      await page.exposeFunction("note", (content) => ledger.note(content));
      await page.evaluate((token) => {
        document.cookie = `token=${token}; Secure`;
        new EventSource("/sse").addEventListener("userlog-notification", (event) => window.note(event.data));
      }, token("einstein"));
    }
    await service.hasStreams(TABS);
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await link?.cut();
    await nats.stop();
  });

  const publish = (content) => nats.publish(["einstein"], "userlog-notification", content);
  const allHave = (...contents) => Promise.all(ledgers.map((ledger) => ledger.has(...contents)));

  it("use one connection", async () => {
    await publish("hello");
    await allHave("hello");
    assert.equal(link.connections, 1);
  });

  it("are not delayed by a tab that reads nothing, which gets everything later", async () => {
    const page = await context.newPage();
    await page.goto(`${address}/openapi.json`);
    await page.evaluate(async (token) => {
      window.response = await fetch("/sse", { headers: { Authorization: `Bearer ${token}` } });
    }, token("stalled"));
    await service.hasStreams(TABS + 1);
    const large = "x".repeat(100_000);
    const events = 20;
    for (let event = 0; event < events; event++) {
      await nats.publish(["stalled"], "large", large);
      await publish(`beside ${event}`);
      await allHave(`beside ${event}`);
    }
    assert.equal(link.connections, 1);
    assert.equal(await service.metric("sse_connections"), TABS + 1);
    const read = await page.evaluate(async (expected) => {
      const reader = window.response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      while (text.split("event: large").length <= expected) text += (await reader.read()).value;
      return text.match(/x+/g).map((data) => data.length);
    }, events);
    assert.deepEqual(read, Array(events).fill(large.length));
  });

  // Firefox and WebKit read a response to its end, even if the page does not.
  const skip = ENGINE !== "chromium" && "only Chromium stops reading";
  it("stay open when the stream of a tab that reads nothing is reset", { skip }, async () => {
    const page = await context.newPage();
    await page.goto(`${address}/openapi.json`);
    await page.evaluate(async (token) => {
      window.response = await fetch("/sse", { headers: { Authorization: `Bearer ${token}` } });
    }, token("stalled for ever"));
    const large = "x".repeat(500_000);
    // The browser buffers several megabytes, and then no more.
    await eventually("an end", async () => {
      await nats.publish(["stalled for ever"], "large", large);
      return (await service.metric('sse_connections_closed_total{reason="write_timeout"}')) === 1;
    });
    await publish("after it");
    await allHave("after it");
    assert.equal(link.connections, 1);
  });
});

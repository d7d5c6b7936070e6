import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { pass, Service } from "./service.js";

describe("a connection", () => {
  let service: Service;
  beforeEach(() => {
    service = new Service();
  });
  afterEach(() => service.stop());

  it("requests a stream with the token, the headers and the id of the last event", async () => {
    service.token = async () => "secret";
    await service.follow({ headers: { "X-Page": "files" }, lastEventId: "7" });
    assert.deepEqual(service.last.headers, {
      "X-Page": "files",
      Accept: "text/event-stream",
      Authorization: "Bearer secret",
      "Last-Event-ID": "7",
    });
  });

  it("requests the URL with the credentials of its settings and without a cache", async () => {
    await service.follow({ credentials: "include" });
    assert.equal(service.last.url, "http://service/sse");
    assert.equal(service.last.options.credentials, "include");
    assert.equal(service.last.options.cache, "no-store");
  });

  it("sends no authorization without a token", async () => {
    await service.follow();
    assert.deepEqual(service.last.headers, { Accept: "text/event-stream" });
  });

  it("passes on the language and the blocks of a stream", async () => {
    await service.follow();
    await service.last.open({ "Content-Language": "de" });
    await service.last.send("data: hello\n\n");
    assert.deepEqual(service.states, [{ readyState: 1, language: "de" }]);
    assert.deepEqual(service.blocks, [{ data: "hello" }]);
  });

  it("removes a byte order mark, and decodes a character that is cut", async () => {
    await service.follow();
    await service.last.open();
    const bytes = new TextEncoder().encode("\uFEFFdata: ä\n\n");
    for (const byte of bytes) await service.last.send(Uint8Array.of(byte));
    assert.deepEqual(service.blocks, [{ data: "ä" }]);
  });

  it("returns after the service's reconnection time with the last id of a whole block", async () => {
    await service.follow({ lastEventId: "6" });
    await service.last.open();
    await service.last.send("retry: 100\nid: 7\ndata: a\n\nid: 8\ndata: b");
    await service.last.end();
    assert.deepEqual(service.states, [{ readyState: 1 }, { readyState: 0 }]);
    await pass(99);
    assert.equal(service.requests.length, 1);
    await pass(1);
    assert.equal(service.last.headers["Last-Event-ID"], "7");
  });

  it("sends no id after an empty one", async () => {
    await service.follow({ lastEventId: "6" });
    await service.last.open();
    await service.last.send("id\n\n");
    await service.last.end();
    await pass(3000);
    assert.equal(service.requests.length, 2);
    assert.equal("Last-Event-ID" in service.last.headers, false);
  });

  /** Asserts that the next request comes after `wait` milliseconds. */
  async function nextAfter(wait: number): Promise<void> {
    const { length } = service.requests;
    await pass(wait - 1);
    assert.equal(service.requests.length, length, `a request before ${wait} ms`);
    await pass(1);
    assert.equal(service.requests.length, length + 1, `no request after ${wait} ms`);
  }

  it("doubles the reconnection time with each failure, up to sixteen times", async () => {
    await service.follow();
    for (const wait of [3000, 6000, 12_000, 24_000, 48_000, 48_000]) {
      await service.last.fail();
      await nextAfter(wait);
    }
    await service.last.open();
    await service.last.end();
    await nextAfter(3000);
  });

  it("adds up to half of the reconnection time as jitter", async () => {
    await service.follow();
    Math.random = () => 1;
    await service.last.fail();
    await nextAfter(4500);
  });

  for (const status of [408, 425, 429, 500, 502, 503, 599]) {
    it(`tries again after ${status}`, async () => {
      await service.follow();
      await service.last.respond(status);
      assert.deepEqual(service.states.at(0), { readyState: 0, status });
      await nextAfter(3000);
    });
  }

  it("waits for Retry-After in seconds or until a date, but no shorter than after other failures", async () => {
    await service.follow();
    for (const [value, wait] of [
      ["20", 20_000],
      [new Date(Date.now() + 60_000).toUTCString(), 40_000],
      ["1", 12_000],
      ["soon", 24_000],
      [new Date(0).toUTCString(), 48_000],
    ] as const) {
      await service.last.respond(503, { "Retry-After": value });
      await nextAfter(wait);
    }
  });

  it("waits no longer than a timer can, instead of not at all", async () => {
    await service.follow();
    await service.last.respond(503, { "Retry-After": "2592000" });
    await nextAfter(2 ** 31 - 1);
  });

  for (const [reason, status, headers] of [
    ["204", 204, {}],
    ["403", 403, {}],
    ["404", 404, {}],
    ["401 without a token", 401, {}],
    ["another type of content", 200, { "Content-Type": "text/html" }],
  ] as const) {
    it(`is closed for good by ${reason}`, async () => {
      await service.follow();
      await service.last.respond(status, headers);
      assert.deepEqual(service.states, [{ readyState: 2, status }]);
      await pass(100_000);
      assert.equal(service.requests.length, 1);
    });
  }

  it("is silent after it was closed", async () => {
    await service.follow();
    await service.last.open();
    service.connection?.close();
    await pass(100_000);
    assert.ok(service.last.aborted);
    assert.deepEqual(service.states, [{ readyState: 1 }]);
    assert.equal(service.requests.length, 1);
  });

  it("can be closed while it waits", async () => {
    await service.follow();
    await service.last.fail();
    service.connection?.close();
    await pass(100_000);
    assert.equal(service.requests.length, 1);
  });
});

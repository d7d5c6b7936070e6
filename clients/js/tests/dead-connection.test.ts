// Connections that are dead without a sign.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { Settings } from "../src/connection.js";
import { pass, Service, sleep } from "./service.js";

describe("a connection that may be dead", () => {
  let service: Service;
  beforeEach(() => {
    service = new Service();
  });
  afterEach(() => service.stop());

  async function open(settings: Partial<Settings> = {}): Promise<void> {
    await service.follow(settings);
    await service.last.open();
    await service.last.send("id: 7\ndata: a\n\n");
  }

  /** Asserts that the connection was replaced by one that continues after the last event. */
  function assertReplaced(): void {
    assert.ok(service.requests[0]?.aborted);
    assert.equal(service.requests.length, 2);
    assert.equal(service.last.headers["Last-Event-ID"], "7");
    assert.deepEqual(service.states, [{ readyState: 1 }, { readyState: 0 }]);
  }

  it("is replaced soon after a sleep of the machine", async () => {
    await open();
    sleep(120_000);
    await pass(10_000);
    await pass(500);
    await pass(0);
    assertReplaced();
  });

  it("is replaced also if the machine slept during the wait for the next attempt", async () => {
    await service.follow();
    await service.last.respond(503, { "Retry-After": "3600" });
    sleep(3_600_000);
    await pass(10_000);
    await pass(500);
    assert.equal(service.requests.length, 2);
  });

  it("is kept in a hidden tab, whose timers fire once a minute", async () => {
    await open();
    for (let minute = 0; minute < 10; minute++) {
      sleep(50_000);
      await pass(10_000);
    }
    await pass(1000);
    assert.equal(service.requests[0]?.aborted, false);
  });

  it("is replaced once for several reasons at a time", async () => {
    await open();
    for (let tab = 0; tab < 12; tab++) {
      service.connection?.reconnect();
      await pass(10);
    }
    await pass(489);
    assert.equal(service.last.aborted, false);
    await pass(1);
    await pass(0);
    assertReplaced();
    await pass(1000);
    assert.equal(service.last.aborted, false);
  });

  it("is replaced after up to a second, so that not all clients return at a time", async () => {
    await open();
    Math.random = () => 0.998;
    service.connection?.reconnect();
    await pass(998);
    assert.equal(service.last.aborted, false);
    await pass(1);
    assert.ok(service.last.aborted);
  });

  it("is replaced without the wait after failures", async () => {
    await service.follow();
    for (let failure = 0; failure < 5; failure++) {
      await service.last.fail();
      await pass(48_000);
    }
    await service.last.fail();
    const { length } = service.requests;
    service.connection?.reconnect();
    await pass(500);
    assert.equal(service.requests.length, length + 1);
  });

  it("is not replaced after it was closed", async () => {
    await open();
    service.connection?.reconnect();
    service.connection?.close();
    sleep(120_000);
    await pass(100_000);
    assert.equal(service.requests.length, 1);
  });

  describe("with maxSilence", () => {
    it("is replaced after a silence", async () => {
      await open({ maxSilence: 30_000 });
      await pass(30_000);
      await pass(499);
      assert.equal(service.last.aborted, false);
      await pass(1);
      await pass(0);
      assertReplaced();
    });

    it("is kept by comments", async () => {
      await open({ maxSilence: 30_000 });
      for (let comment = 0; comment < 5; comment++) {
        await pass(29_999);
        await service.last.send(":\n\n");
      }
      await pass(1000);
      assert.equal(service.requests[0]?.aborted, false);
    });

    it("is replaced if there is no response", async () => {
      await service.follow({ maxSilence: 30_000 });
      await pass(30_000);
      await pass(500);
      await pass(0);
      assert.equal(service.requests.length, 2);
    });

    it("waits no shorter for the next attempt", async () => {
      await service.follow({ maxSilence: 30_000 });
      await service.last.respond(503, { "Retry-After": "60" });
      await pass(30_000);
      await pass(29_999);
      assert.equal(service.requests.length, 1);
    });
  });

  it("is kept without maxSilence", async () => {
    await open();
    for (let minute = 0; minute < 60; minute++) await pass(60_000);
    await pass(1000);
    assert.equal(service.requests[0]?.aborted, false);
  });
});

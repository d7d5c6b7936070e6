import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { pass, Service } from "./service.js";

/** Returns a token that expires in so many seconds. */
function token(seconds: number, issuer = ""): string {
  const claims = { iss: issuer, exp: Date.now() / 1000 + seconds };
  return `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.`;
}

describe("the token of a connection", () => {
  let service: Service;
  beforeEach(() => {
    service = new Service();
  });
  afterEach(() => service.stop());

  /** Supplies these tokens in turn, then the last one again. */
  function supply(...tokens: string[]): void {
    let asked = 0;
    service.token = async () => tokens[Math.min(asked++, tokens.length - 1)];
  }
  const authorizations = (): (string | undefined)[] => service.requests.map(({ headers }) => headers.Authorization);

  it("is renewed before it expires, without an interruption", async () => {
    const [first, second] = [token(100), token(1000)];
    supply(first, second);
    await service.follow();
    await service.last.open();
    await pass(84_999);
    assert.equal(service.requests.length, 1);
    await pass(1);
    await pass(0);
    assert.deepEqual(authorizations(), [`Bearer ${first}`, `Bearer ${second}`]);
    assert.ok(service.requests[0]?.aborted);
    assert.deepEqual(service.states, [{ readyState: 1 }]);
  });

  it("is renewed at 90 % of its lifetime at the latest", async () => {
    supply(token(100), token(1000));
    Math.random = () => 1;
    await service.follow();
    await service.last.open();
    await pass(90_000);
    await pass(0);
    assert.equal(service.requests.length, 2);
  });

  for (const [reason, renewed] of [
    ["is the same", async () => token(0)],
    ["cannot be had", () => Promise.reject(new Error("no tab answers"))],
  ] as const) {
    it(`leaves the stream open if the next one ${reason}`, async () => {
      const first = token(60);
      let asked = 0;
      service.token = async () => (asked++ === 0 || reason === "is the same" ? first : renewed());
      await service.follow();
      await service.last.open();
      await pass(60_000);
      assert.equal(asked, 2);
      assert.equal(service.last.aborted, false);
    });
  }

  it("is not renewed if this clock counts it as expired, because the service has accepted it", async () => {
    supply(token(-100, "first"), token(-100, "second"));
    await service.follow();
    await service.last.open();
    await pass(1000);
    await pass(0);
    assert.equal(service.requests.length, 1);
  });

  it("is renewed also if its base64url has characters that base64 has not", async () => {
    // "~~~???" has both of them.
    const first = token(100, "~~~???>>>");
    assert.match(first, /[-]/);
    assert.match(first, /_/);
    supply(first, token(1000));
    await service.follow();
    await service.last.open();
    await pass(85_000);
    await pass(0);
    assert.equal(service.requests.length, 2);
  });

  it("is not renewed at once if it expires later than a timer can wait", async () => {
    supply(token(10 ** 8, "first"), token(10 ** 8, "second"));
    await service.follow();
    await service.last.open();
    await pass(1000);
    await pass(0);
    assert.equal(service.requests.length, 1);
  });

  it("is not renewed if it is no JSON Web Token", async () => {
    for (const text of ["secret", "a.b.c", `e30.${Buffer.from('{"exp":"soon"}').toString("base64url")}.`, "e30.bnVsbA."]) {
      supply(text, "another");
      await service.follow();
      await service.last.open();
      await pass(2 ** 31);
      assert.equal(service.last.headers.Authorization, `Bearer ${text}`);
      service.connection?.close();
    }
  });

  it("is replaced once after a 401", async () => {
    supply("first", "second", "third");
    await service.follow();
    await service.last.respond(401);
    await pass(0);
    assert.deepEqual(authorizations(), ["Bearer first", "Bearer second"]);
    await service.last.open();
    await service.last.end();
    await pass(3000);
    await service.last.respond(401);
    await pass(0);
    await service.last.respond(401);
    assert.equal(service.requests.length, 4);
    assert.equal(service.states.at(-1)?.readyState, 2);
  });

  it("closes the stream if the next one is rejected too", async () => {
    supply("first", "second", "third");
    await service.follow();
    await service.last.respond(401);
    await pass(0);
    await service.last.respond(401);
    await pass(0);
    assert.deepEqual(authorizations(), ["Bearer first", "Bearer second"]);
    assert.deepEqual(service.states, [{ readyState: 2, status: 401 }]);
  });

  it("closes the stream if the same one is rejected twice", async () => {
    supply("nonsense");
    await service.follow();
    await service.last.respond(401);
    await pass(0);
    await service.last.respond(401);
    assert.deepEqual(service.states, [{ readyState: 2, status: 401 }]);
    assert.equal(service.requests.length, 2);
  });

  it("may be one that was rejected before another one was accepted", async () => {
    supply("first", "second", "first", "third");
    await service.follow();
    await service.last.respond(401);
    await pass(0);
    await service.last.open();
    await service.last.end();
    await pass(3000);
    await service.last.respond(401);
    await pass(0);
    assert.equal(authorizations().at(-1), "Bearer third");
  });

  it("is not renewed for a stream that has ended", async () => {
    let asked = 0;
    service.token = async () => token(100, String(asked++));
    await service.follow();
    await service.last.open();
    service.connection?.close();
    await pass(0);
    await pass(85_000);
    assert.equal(asked, 1);
  });

  it("does not end the next stream if it is renewed too late for this one", async () => {
    let renew = (_token: string): void => undefined;
    const late = new Promise<string>((resolve) => {
      renew = resolve;
    });
    const tokens = [Promise.resolve(token(60)), late, Promise.resolve("third")];
    service.token = () => tokens.shift() ?? Promise.resolve("fourth");
    await service.follow();
    await service.last.open();
    await pass(51_000);
    await service.last.end();
    await pass(3000);
    assert.equal(authorizations().at(-1), "Bearer third");
    renew("second");
    await pass(0);
    assert.equal(service.last.aborted, false);
  });

  it("is asked for again if it cannot be had", async () => {
    const tokens = [Promise.reject(new Error("offline")), Promise.resolve("secret")];
    service.token = () => tokens.shift() ?? Promise.resolve(undefined);
    await service.follow();
    assert.deepEqual(service.states, [{ readyState: 0 }]);
    await pass(3000);
    assert.deepEqual(authorizations(), ["Bearer secret"]);
  });
});

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { Settings } from "../src/connection.js";
import { host, type ToHost, type ToMember } from "../src/host.js";
import { pass, Service, until } from "./service.js";

const JOIN_TIME = 50;
const ANSWER_TIMEOUT = 5000;

/** A tab's end of the channel. */
class Tab {
  readonly received: ToMember[] = [];
  readonly #channel = new BroadcastChannel("tabs");

  constructor(
    readonly member: string,
    readonly token?: string,
  ) {
    this.#channel.onmessage = ({ data }: MessageEvent<ToMember>) => {
      if (data.to !== "all" && data.to !== member) return;
      this.received.push(data);
      if (data.kind === "token-request" && token) this.send({ to: "host", kind: "token", request: data.request, token });
    };
  }

  send(message: ToHost): void {
    this.#channel.postMessage(message);
  }

  /** Joins, and waits until the host has answered. */
  async join(settings: Partial<Settings> = {}): Promise<void> {
    const all: Settings = { url: "http://service/sse", headers: {}, credentials: "omit", lastEventId: "", maxSilence: undefined };
    const count = this.count("state");
    this.send({ to: "host", kind: "join", member: this.member, settings: { ...all, ...settings } });
    await until(() => this.count("state") > count);
  }

  leave(): void {
    this.send({ to: "host", kind: "leave", member: this.member });
  }

  count(kind: ToMember["kind"]): number {
    return this.received.filter((message) => message.kind === kind).length;
  }

  close(): void {
    this.#channel.close();
  }
}

describe("the host of a connection", () => {
  let service: Service;
  let tabs: Tab[];
  let stop: () => void;

  beforeEach(() => {
    service = new Service();
    tabs = [];
    stop = host("tabs");
  });
  afterEach(() => {
    stop();
    for (const tab of tabs) tab.close();
    service.stop();
  });

  function open(member: string, token?: string): Tab {
    const tab = new Tab(member, token);
    tabs.push(tab);
    return tab;
  }

  /** Waits until the tabs have been asked for a token so many times in all, and there are so many requests. */
  async function requested(count: number): Promise<void> {
    await until(() => service.requests.length === count);
  }

  it("invites all tabs when it starts", async () => {
    const tab = open("first");
    const other = host("tabs");
    await until(() => tab.count("started") === 1);
    other();
  });

  it("connects once for all tabs, after the last event that one of them has", async () => {
    await open("first", "secret").join({ headers: { "X-Page": "files" } });
    await open("second").join({ lastEventId: "7" });
    await pass(JOIN_TIME);
    await requested(1);
    assert.equal(service.last.headers["Last-Event-ID"], "7");
    assert.equal(service.last.headers.Authorization, "Bearer secret");
  });

  it("sends states and blocks to all tabs, and the state to one that joins later", async () => {
    const [first, second] = [open("first", "secret"), open("second")];
    await first.join();
    await second.join();
    await pass(JOIN_TIME);
    await requested(1);
    await service.last.open();
    await service.last.send("data: hello\n\n");
    for (const { received } of [first, second]) {
      await until(() => received.some((message) => message.kind === "block"));
      assert.deepEqual(received.at(-1), { to: "all", kind: "block", block: { data: "hello" } });
    }
    const third = open("third");
    await third.join();
    assert.deepEqual(third.received, [{ to: "third", kind: "state", state: { readyState: 1 } }]);
    assert.equal(service.requests.length, 1);
  });

  it("asks the next tab if one does not answer", async () => {
    await open("frozen").join();
    await open("awake", "secret").join();
    await pass(JOIN_TIME);
    const [frozen] = tabs;
    await until(() => frozen?.count("token-request") === 1);
    await pass(ANSWER_TIMEOUT);
    await requested(1);
    assert.equal(service.last.headers.Authorization, "Bearer secret");
  });

  it("asks a tab that does not answer last from then on", async () => {
    const frozen = open("frozen");
    await frozen.join();
    await open("awake", "secret").join();
    await pass(JOIN_TIME);
    await until(() => frozen.count("token-request") === 1);
    await pass(ANSWER_TIMEOUT);
    await requested(1);
    await service.last.fail();
    await pass(3000);
    await requested(2);
    assert.equal(frozen.count("token-request"), 1);
  });

  it("connects for a new tab after a rejection, although a frozen tab has not left", async () => {
    const [frozen, tab] = [open("frozen"), open("new", "valid")];
    await open("first", "expired").join();
    await frozen.join();
    await pass(JOIN_TIME);
    await requested(1);
    await service.last.respond(403);
    await until(() => frozen.count("state") === 2);
    await tab.join();
    assert.deepEqual(tab.received.at(-1), { to: "new", kind: "state", state: { readyState: 0 } });
    await pass(JOIN_TIME);
    await requested(2);
    assert.equal(service.last.headers.Authorization, "Bearer valid");
  });

  it("asks again after a while if no tab answers", async () => {
    const tab = open("frozen");
    await tab.join();
    await pass(JOIN_TIME);
    await pass(ANSWER_TIMEOUT);
    await until(() => tab.count("state") === 2);
    assert.equal(service.requests.length, 0);
    await pass(3000);
    await until(() => tab.count("token-request") === 2);
  });

  it("asks no tab that has left", async () => {
    const [first, second] = [open("first", "first"), open("second", "second")];
    await first.join();
    await second.join();
    first.leave();
    await second.join();
    await pass(JOIN_TIME);
    await requested(1);
    assert.equal(first.count("token-request"), 0);
    assert.equal(service.last.headers.Authorization, "Bearer second");
  });

  it("stays connected when one of two tabs leaves", async () => {
    const [first, second] = [open("first", "secret"), open("second")];
    await first.join();
    await second.join();
    await pass(JOIN_TIME);
    await requested(1);
    first.leave();
    await second.join();
    assert.equal(service.last.aborted, false);
  });

  it("connects for no tab that has left at once", async () => {
    const tab = open("first", "secret");
    await tab.join();
    tab.leave();
    await tab.join();
    tab.leave();
    const other = open("second", "other");
    await other.join();
    await pass(JOIN_TIME);
    await requested(1);
    assert.equal(tab.count("token-request"), 0);
  });

  it("disconnects when the last tab leaves, and connects for the next one", async () => {
    const tab = open("first", "secret");
    await tab.join();
    await pass(JOIN_TIME);
    await requested(1);
    tab.leave();
    await until(() => service.last.aborted);
    await tab.join({ lastEventId: "9" });
    await pass(JOIN_TIME);
    await requested(2);
    assert.equal(service.last.headers["Last-Event-ID"], "9");
  });

  it("connects again when a tab asks for it", async () => {
    const tab = open("first", "secret");
    await tab.join();
    await pass(JOIN_TIME);
    await requested(1);
    await service.last.open();
    tab.send({ to: "host", kind: "reconnect" });
    await tab.join();
    await pass(500);
    await pass(0);
    await requested(2);
  });

  it("disconnects when it is stopped", async () => {
    await open("first", "secret").join();
    await pass(JOIN_TIME);
    await requested(1);
    stop();
    assert.ok(service.last.aborted);
  });
});

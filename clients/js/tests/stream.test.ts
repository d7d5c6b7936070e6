import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { host } from "../src/host.js";
import { EventStream, type EventStreamOptions, type StreamErrorEvent } from "../src/stream.js";
import { pass, Service, settle, until } from "./service.js";

describe("a stream", () => {
  let service: Service;
  let streams: EventStream[];
  let stopWorkers: () => void;

  beforeEach(() => {
    service = new Service();
    streams = [];
    stopWorkers = () => undefined;
  });
  afterEach(() => {
    for (const stream of streams) stream.close();
    stopWorkers();
    service.stop();
  });

  /** Opens a stream, and waits for its request. */
  async function open(options?: EventStreamOptions): Promise<EventStream> {
    const stream = new EventStream("http://service/sse", options);
    streams.push(stream);
    const { length } = service.requests;
    await settle();
    await pass(50);
    await until(() => service.requests.length > length);
    return stream;
  }

  /** Gives this process shared workers. */
  function addWorkers(): void {
    const names = new Set<string>();
    const stops: (() => void)[] = [];
    class SharedWorker {
      constructor(_url: URL, { name }: { name: string }) {
        if (!names.has(name)) stops.push(host(name));
        names.add(name);
      }
    }
    Object.assign(globalThis, { SharedWorker });
    stopWorkers = () => {
      for (const stop of stops) stop();
      Reflect.deleteProperty(globalThis, "SharedWorker");
    };
  }

  it("dispatches events like an EventSource", async () => {
    const stream = await open();
    const events: unknown[] = [];
    stream.onopen = () => events.push("open");
    stream.onmessage = ({ type, data, lastEventId, origin }) => events.push([type, data, lastEventId, origin]);
    stream.addEventListener("greeting", ({ type, data, lastEventId }) => events.push([type, data, lastEventId]));
    await service.last.open();
    await service.last.send("id: 7\ndata: a\n\nevent: greeting\ndata: b\n\n: nothing\n\nid: 8\n\n");
    await until(() => stream.lastEventId === "8");
    assert.deepEqual(events, ["open", ["message", "a", "7", "http://service"], ["greeting", "b", "7"]]);
    assert.equal(stream.readyState, EventStream.OPEN);
  });

  it("dispatches an event once", async () => {
    const stream = await open();
    const data: string[] = [];
    stream.onmessage = (event) => data.push(event.data);
    await service.last.open();
    await service.last.send("id: 7\ndata: a\n\nid: 7\ndata: a\n\nid: 8\ndata: b\n\n");
    await until(() => data.includes("b"));
    assert.deepEqual(data, ["a", "b"]);
  });

  it("has no id after an empty one, and no type besides message after an empty one", async () => {
    const stream = await open();
    const events: unknown[] = [];
    stream.onmessage = ({ type, lastEventId }) => events.push([type, lastEventId]);
    await service.last.open();
    await service.last.send("id: 7\nevent\ndata: a\n\nid\ndata: b\n\n");
    await until(() => events.length === 2);
    assert.deepEqual(events, [
      ["message", "7"],
      ["message", ""],
    ]);
    assert.equal(stream.lastEventId, "");
  });

  it("remembers 256 ids", async () => {
    const stream = await open();
    const ids: string[] = [];
    stream.onmessage = ({ lastEventId }) => ids.push(lastEventId);
    await service.last.open();
    const numbers = Array.from({ length: 257 }, (_, number) => number);
    // The oldest id is forgotten, the one after it is not.
    for (const number of [...numbers, 1, 0, 300]) await service.last.send(`id: ${number}\ndata: a\n\n`);
    await until(() => ids.at(-1) === "300");
    assert.deepEqual(ids, [...numbers, 0, 300].map(String));
  });

  it("is closed, and stays closed, when it is told to close", async () => {
    const stream = await open();
    stream.onopen = () => assert.fail("open");
    stream.close();
    stream.close();
    assert.equal(stream.readyState, EventStream.CLOSED);
  });

  it("has the language of the response, then that of the comments", async () => {
    const stream = await open();
    const languages: (string | null)[] = [];
    stream.onlanguagechange = () => languages.push(stream.language);
    await service.last.open({ "Content-Language": "de" });
    await service.last.send(": language de\n\n: language fr\n\n");
    await until(() => languages.length === 2);
    assert.deepEqual(languages, ["de", "fr"]);
  });

  it("reports an interruption once", async () => {
    const stream = await open();
    const errors: [number, StreamErrorEvent["detail"]][] = [];
    stream.onerror = ({ detail }) => errors.push([stream.readyState, detail]);
    await service.last.open();
    await service.last.end();
    await until(() => errors.length === 1);
    await pass(3000);
    await service.last.respond(503);
    await until(() => errors.length === 2);
    assert.deepEqual(errors, [
      [EventStream.CONNECTING, {}],
      [EventStream.CONNECTING, { status: 503 }],
    ]);
  });

  it("shares a connection with streams of the same user", async () => {
    addWorkers();
    const first = await open({ share: "einstein" });
    await service.last.open();
    const second = new EventStream("http://service/sse", { share: "einstein" });
    streams.push(second);
    await until(() => second.readyState === EventStream.OPEN);
    await open({ share: "marie" });
    await open({ share: false });
    assert.equal(service.requests.length, 3);
    first.close();
    second.close();
    await until(() => service.requests[0]?.aborted === true);
  });

  it("has a connection of its own without workers and locks", async () => {
    const [first, second] = [await open(), await open()];
    await service.requests[0]?.open();
    await until(() => first.readyState === EventStream.OPEN);
    await settle();
    assert.equal(second.readyState, EventStream.CONNECTING);
  });

  it("opens a connection of its own after an earlier stream was rejected for good", async () => {
    addWorkers();
    const rejected = await open({ token: "expired" });
    await service.last.respond(403);
    await until(() => rejected.readyState === EventStream.CLOSED);
    const stream = await open({ token: "valid" });
    assert.equal(service.last.headers.Authorization, "Bearer valid");
    assert.equal(stream.readyState, EventStream.CONNECTING);
  });

  it("connects again when the browser is online again", async () => {
    const page = new EventTarget();
    Object.assign(globalThis, { addEventListener: page.addEventListener.bind(page) });
    await open();
    Reflect.deleteProperty(globalThis, "addEventListener");
    await service.last.open();
    page.dispatchEvent(new Event("online"));
    const [first] = service.requests;
    for (let time = 0; !first?.aborted && time < 100; time++) await pass(10);
    await pass(0);
    assert.equal(service.requests.length, 2);
  });

  it("chooses a language with the token", async () => {
    const stream = await open({ token: "secret" });
    await service.last.open({ "Content-Language": "en" });
    stream.language = "de";
    await until(() => service.requests.length === 2);
    assert.equal(service.last.headers.Authorization, "Bearer secret");
    await service.last.answer({ effective: "de-AT" });
    await until(() => stream.language === "de-AT");
  });

  it("forgets a language with its headers, and reports a rejection and a failure", async () => {
    const stream = await open({ headers: { "X-Page": "files" } });
    const errors: unknown[] = [];
    stream.onerror = ({ detail }) => errors.push(detail);
    stream.language = null;
    await until(() => service.requests.length === 2);
    assert.equal(service.last.url, "http://service/sse/language");
    assert.equal(service.last.options.method, "DELETE");
    assert.deepEqual(service.last.headers, { "X-Page": "files" });
    await service.last.respond(403);
    await until(() => errors.length === 1);
    stream.language = "de";
    await until(() => service.requests.length === 3);
    assert.equal(service.last.options.method, "PUT");
    await service.last.fail();
    await until(() => errors.length === 2);
    assert.deepEqual(errors, [{ status: 403 }, {}]);
  });

  it("joins a new host with its settings and its last id", async () => {
    addWorkers();
    const stream = await open({ headers: { "X-Page": "files" }, token: "secret", lastEventId: "6" });
    assert.equal(service.last.headers["Last-Event-ID"], "6");
    await service.last.open();
    await service.last.send("id: 7\ndata: a\n\n");
    await until(() => stream.lastEventId === "7");
    const stop = host("ocis-sse-client http://service/sse ");
    for (let time = 0; service.requests.length < 2 && time < 100; time++) await pass(50);
    assert.equal(service.last.headers["X-Page"], "files");
    assert.equal(service.last.headers["Last-Event-ID"], "7");
    stop();
  });

  /** Opens a stream whose tab is frozen and resumes, and returns whether its connection is replaced within a second. */
  async function reconnectsAfterFreeze(): Promise<boolean> {
    const document = new EventTarget();
    Object.assign(globalThis, { document });
    await open();
    Reflect.deleteProperty(globalThis, "document");
    await service.last.open();
    document.dispatchEvent(new Event("resume"));
    const [first] = service.requests;
    for (let time = 0; !first?.aborted && time < 100; time++) await pass(10);
    return first?.aborted === true;
  }

  it("connects again when a frozen tab that holds the connection resumes", async () => {
    assert.equal(await reconnectsAfterFreeze(), true);
  });

  it("keeps the connection of a worker when a frozen tab resumes", async () => {
    addWorkers();
    assert.equal(await reconnectsAfterFreeze(), false);
  });

  it("takes a relative URL in a page only", () => {
    assert.throws(() => new EventStream("/sse"), TypeError);
  });
});

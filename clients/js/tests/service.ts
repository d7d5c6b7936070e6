// A service whose responses the test decides, and a clock that it moves.

import { mock } from "node:test";
import { type Connection, follow, type Settings, type State } from "../src/connection.js";
import type { Block } from "../src/parser.js";

/** The number of turns of the event loop in which everything happens that needs no time. */
const TURNS = 20;

/** Lets everything happen that needs no time. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await new Promise(setImmediate);
}

/** Moves the clock and its timers by `milliseconds`. */
export async function pass(milliseconds: number): Promise<void> {
  mock.timers.tick(milliseconds);
  await settle();
}

/** Moves the clock but no timers, as when the machine sleeps. */
export function sleep(milliseconds: number): void {
  mock.timers.setTime(Date.now() + milliseconds);
}

/** A request to the service. */
export interface Request {
  url: string;
  options: RequestInit;
  headers: Record<string, string>;
  aborted: boolean;
  /** Responds with a status and headers. */
  respond(status: number, headers?: Record<string, string>): Promise<void>;
  /** Responds with JSON. */
  answer(content: unknown): Promise<void>;
  /** Fails as a connection does. */
  fail(): Promise<void>;
  /** Responds with a stream. */
  open(headers?: Record<string, string>): Promise<void>;
  send(data: string | Uint8Array): Promise<void>;
  end(): Promise<void>;
}

/** A service with one client. */
export class Service {
  readonly requests: Request[] = [];
  readonly blocks: Block[] = [];
  readonly states: State[] = [];
  token: () => Promise<string | undefined> = async () => undefined;
  connection: Connection | undefined;

  /** Makes `fetch` request this service, and time pass only in `pass` and `sleep`. Nothing is random. */
  constructor() {
    mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_000_000_000_000 });
    mock.method(Math, "random", () => 0);
    mock.method(globalThis, "fetch", (url: string, options: RequestInit) => this.#receive(url, options));
  }

  get last(): Request {
    const request = this.requests.at(-1);
    if (!request) throw new Error("no request");
    return request;
  }

  /** Connects a client. */
  async follow(settings: Partial<Settings> = {}): Promise<void> {
    const all: Settings = { url: "http://service/sse", headers: {}, credentials: "omit", lastEventId: "", maxSilence: undefined };
    this.connection = follow(
      { ...all, ...settings },
      {
        token: () => this.token(),
        state: (state) => this.states.push(state),
        block: (block) => this.blocks.push(block),
      },
    );
    await settle();
  }

  stop(): void {
    this.connection?.close();
    mock.timers.reset();
    mock.restoreAll();
  }

  #receive(url: string, options: RequestInit): Promise<Response> {
    const { headers = {}, signal } = options;
    return new Promise((resolve, reject) => {
      const body = new TransformStream<Uint8Array, Uint8Array>();
      const writer = body.writable.getWriter();
      // The client cancels the body when it has ended the request.
      writer.closed.catch(() => undefined);
      const request: Request = {
        url,
        options,
        headers: headers as Record<string, string>,
        aborted: false,
        respond: (status, headers = {}) => settled(() => resolve(new Response(null, { status, headers }))),
        answer: (content) => settled(() => resolve(Response.json(content))),
        fail: () => settled(() => reject(new TypeError("fetch failed"))),
        open: (headers = {}) =>
          settled(() => resolve(new Response(body.readable, { headers: { "Content-Type": "text/event-stream", ...headers } }))),
        send: (data) => settled(() => writer.write(typeof data === "string" ? new TextEncoder().encode(data) : data)),
        end: () => settled(() => writer.close()),
      };
      signal?.addEventListener("abort", () => {
        request.aborted = true;
        reject(signal.reason);
        writer.abort(signal.reason).catch(() => undefined);
      });
      this.requests.push(request);
    });
  }
}

async function settled(act: () => unknown): Promise<void> {
  act();
  await settle();
}

/** Waits until the condition is met, however many turns of the event loop it takes. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 10_000) throw new Error(`never: ${condition}`);
    await new Promise(setImmediate);
  }
}

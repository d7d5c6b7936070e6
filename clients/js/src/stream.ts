import { CLOSED, CONNECTING, OPEN, type Settings, type State } from "./connection.js";
import type { EventPayloads } from "./events.js";
import { host, type ToHost, type ToMember } from "./host.js";
import { locks } from "./locks.js";
import type { Block } from "./parser.js";

/** The options of a stream. */
export interface EventStreamOptions {
  /** The access token, or a function that returns one; called for each connection, and before the token expires. */
  token?: string | (() => string | Promise<string>);
  /** Further headers of each request. */
  headers?: Record<string, string>;
  /** Whether cookies are sent, as with `fetch`; `same-origin` by default. */
  credentials?: RequestCredentials;
  /** The id of the last event that the page already has. Used if this is the first stream of its connection. */
  lastEventId?: string;
  /** The URL for choosing the language; the stream's URL with `/language` by default. */
  languageUrl?: string;
  /** The time in milliseconds without data after which the connection counts as dead; unlimited by default. */
  maxSilence?: number;
  /** Streams with the same URL and the same text share a connection: use the name of the user. `false` for a connection of its own. */
  share?: string | false;
}

/** An error event, with the HTTP status if there was a response. */
export type StreamErrorEvent = CustomEvent<{ status?: number }>;

/** An event of a known type. `data` is text; `JSON.parse` returns an `EventPayloads[K]` for it. */
export interface KnownEvent<K extends keyof EventPayloads> extends MessageEvent<string> {
  readonly type: K;
}

type KnownEvents = { [K in keyof EventPayloads]: KnownEvent<K> };

/** The events of a stream by type. Events of other types are `MessageEvent`s. */
export interface EventStreamEventMap extends KnownEvents {
  open: Event;
  error: StreamErrorEvent;
  languagechange: Event;
}

/** The number of event ids that are remembered, to remove duplicates when another tab takes over the connection. */
const MAX_RECENT_IDS = 256;

/** An `EventSource` over one connection that all tabs of an origin share. */
export class EventStream extends EventTarget {
  static readonly CONNECTING = CONNECTING;
  static readonly OPEN = OPEN;
  static readonly CLOSED = CLOSED;
  readonly CONNECTING = CONNECTING;
  readonly OPEN = OPEN;
  readonly CLOSED = CLOSED;

  readonly url: string;
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent<string>) => void) | null = null;
  onerror: ((event: StreamErrorEvent) => void) | null = null;
  onlanguagechange: ((event: Event) => void) | null = null;

  #readyState: number = CONNECTING;
  #language: string | undefined;
  #lastEventId: string;
  readonly #options: EventStreamOptions;
  readonly #channel: BroadcastChannel;
  readonly #member = `ocis-sse-client ${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  readonly #recentIds = new Set<string>();
  readonly #closed = new AbortController();

  constructor(url: string | URL, options: EventStreamOptions = {}) {
    super();
    // Node has no location.
    this.url = new URL(url, globalThis.location?.href).href;
    this.#options = options;
    this.#lastEventId = options.lastEventId ?? "";
    const { share = "" } = options;
    const workers = "SharedWorker" in globalThis;
    const shared = share !== false && (workers || locks !== undefined);
    const name = `ocis-sse-client ${this.url} ${shared ? share : this.#member}`;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }: MessageEvent<ToMember | ToHost>) => this.#receive(data as ToMember);
    const { signal } = this.#closed;
    globalThis.addEventListener?.("online", () => this.#reconnect(), { signal });
    globalThis.addEventListener?.("pagehide", () => this.#leave(), { signal });
    globalThis.addEventListener?.("pageshow", ({ persisted }) => persisted && this.#join(), { signal });
    this.#whileOpen(this.#member, () => this.#join());
    if (shared && workers) this.#startWorker(name);
    else this.#hold(name);
  }

  get readyState(): number {
    return this.#readyState;
  }

  /** The id of the last event. */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  /** The language of events, known when the stream is open; `null` if the service offers no choice. */
  get language(): string | null {
    return this.#language ?? null;
  }

  /** Chooses the user's language on all devices: a tag such as `de-AT`, or `null` for the language that the browser requests. */
  set language(language: string | null) {
    void this.#chooseLanguage(language);
  }

  close(): void {
    if (this.#closed.signal.aborted) return;
    this.#readyState = CLOSED;
    this.#leave();
    this.#closed.abort();
    this.#channel.close();
  }

  override addEventListener<K extends keyof EventStreamEventMap>(
    type: K,
    listener: (this: EventStream, event: EventStreamEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    type: string,
    listener: (this: EventStream, event: MessageEvent<string>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(type: string, listener: never, options?: boolean | AddEventListenerOptions): void {
    super.addEventListener(type, listener, options);
  }

  /** Makes a shared worker hold the connection, or this tab if the worker cannot be loaded. */
  #startWorker(name: string): void {
    // Bundlers look for exactly this expression.
    const worker = new SharedWorker(new URL("./worker.js", import.meta.url), { type: "module", name });
    worker.onerror = () => this.#hold(name);
  }

  /** Holds the connection in this tab until the stream is closed. With locks it waits until no other tab does. */
  #hold(name: string): void {
    const { signal } = this.#closed;
    this.#whileOpen(name, () => {
      signal.addEventListener("abort", host(name));
      // Chromium delivers nothing of a response that was open while the tab was frozen.
      globalThis.document?.addEventListener("resume", () => this.#reconnect(), { signal });
    });
  }

  /** Calls `locked` when the lock is free, and holds the lock until the stream is closed. Without locks it calls `locked` at once. */
  #whileOpen(lock: string, locked: () => void): void {
    const { signal } = this.#closed;
    if (!locks) {
      locked();
      return;
    }
    const taken = locks.request(lock, { signal }, () => {
      locked();
      return new Promise((release) => signal.addEventListener("abort", release));
    });
    // The stream was closed before the lock was free.
    taken.catch(() => undefined);
  }

  #send(message: ToHost): void {
    if (!this.#closed.signal.aborted) this.#channel.postMessage(message);
  }

  #join(): void {
    const { headers = {}, credentials = "same-origin", maxSilence } = this.#options;
    const settings: Settings = { url: this.url, headers, credentials, lastEventId: this.#lastEventId, maxSilence };
    this.#send({ to: "host", kind: "join", member: this.#member, settings });
  }

  #reconnect(): void {
    this.#send({ to: "host", kind: "reconnect" });
  }

  #leave(): void {
    this.#send({ to: "host", kind: "leave", member: this.#member });
  }

  #receive(message: ToMember): void {
    if (message.to !== "all" && message.to !== this.#member) return;
    if (message.kind === "started") this.#join();
    if (message.kind === "state") this.#setState(message.state);
    if (message.kind === "block") this.#handleBlock(message.block);
    if (message.kind === "token-request") void this.#sendToken(message.request);
  }

  async #sendToken(request: number): Promise<void> {
    try {
      this.#send({ to: "host", kind: "token", request, token: await this.#token() });
    } catch {
      // The token function failed; another tab is asked.
    }
  }

  async #token(): Promise<string | undefined> {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }

  #setState({ readyState, status, language }: State): void {
    const before = this.#readyState;
    this.#readyState = readyState;
    // A stream that was rejected for good leaves the host, so that the next one opens a new connection.
    if (readyState === CLOSED) this.close();
    if (language) this.#setLanguage(language);
    if (readyState === OPEN && before !== OPEN) this.#dispatch(new Event("open"));
    if (readyState !== OPEN && (before === OPEN || status)) this.#fail(status);
  }

  #handleBlock({ type, data, id, comment }: Block): void {
    const [, language] = /^language (\S+)$/.exec(comment ?? "") ?? [];
    if (language) this.#setLanguage(language);
    if (id !== undefined) this.#lastEventId = id;
    if (data === undefined || (id && this.#recentIds.has(id))) return;
    if (id) this.#remember(id);
    const { origin } = new URL(this.url);
    this.#dispatch(new MessageEvent(type || "message", { data, origin, lastEventId: this.#lastEventId }));
  }

  #remember(id: string): void {
    this.#recentIds.add(id);
    if (this.#recentIds.size > MAX_RECENT_IDS) for (const oldest of this.#recentIds) return void this.#recentIds.delete(oldest);
  }

  #setLanguage(language: string): void {
    if (language === this.#language) return;
    this.#language = language;
    this.#dispatch(new Event("languagechange"));
  }

  async #chooseLanguage(language: string | null): Promise<void> {
    const { headers, credentials = "same-origin", languageUrl = `${this.url}/language` } = this.#options;
    try {
      const token = await this.#token();
      const response = await fetch(languageUrl, {
        method: language ? "PUT" : "DELETE",
        headers: {
          ...headers,
          ...(token && { Authorization: `Bearer ${token}` }),
          ...(language && { "Content-Type": "application/json" }),
        },
        ...(language && { body: JSON.stringify({ language }) }),
        credentials,
      });
      if (!response.ok) return this.#fail(response.status);
      const { effective } = (await response.json()) as { effective: string };
      this.#setLanguage(effective);
    } catch {
      this.#fail();
    }
  }

  #fail(status?: number): void {
    this.#dispatch(new CustomEvent("error", { detail: status ? { status } : {} }));
  }

  #dispatch(event: Event): void {
    this.dispatchEvent(event);
    const handlers = this as unknown as Record<string, ((event: Event) => void) | null>;
    if (["open", "message", "error", "languagechange"].includes(event.type)) handlers[`on${event.type}`]?.(event);
  }
}

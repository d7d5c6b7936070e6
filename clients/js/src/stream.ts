import { CLOSED, CONNECTING, OPEN, type Settings, type State } from "./connection.js";
import { host, type ToHost, type ToMember } from "./host.js";
import type { Block } from "./parser.js";

/** What may be said of a stream. */
export interface EventStreamOptions {
  /** The access token, or what supplies one: it is called for each connection, and before the token ends. */
  token?: string | (() => string | Promise<string>);
  /** Sent with each request. */
  headers?: Record<string, string>;
  /** Whether cookies are sent, as with `fetch`; `same-origin` when it is not said. */
  credentials?: RequestCredentials;
  /** The id of the last event that was had before. It counts where this stream is the first one of its connection. */
  lastEventId?: string;
  /** Where the language is chosen; the stream's own URL with `/language` when it is not said. */
  languageUrl?: string;
  /** Streams with the same URL and the same text here share a connection: name the user. `false` for a connection of its own. */
  share?: string | false;
}

/** What has gone wrong: the status of a refusal, if there was one. */
export type StreamErrorEvent = CustomEvent<{ status?: number }>;

/** The events of a stream that have a type of their own; all others are `MessageEvent`s. */
export interface EventStreamEventMap {
  open: Event;
  error: StreamErrorEvent;
  languagechange: Event;
}

/** The last event ids of so many events are known, to know them again after a failover. */
const KNOWN_EVENTS = 256;

/** The interface of `EventSource`, over one connection that all tabs of an origin share. */
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
  readonly #known = new Set<string>();
  readonly #closed = new AbortController();

  constructor(url: string | URL, options: EventStreamOptions = {}) {
    super();
    this.url = new URL(url, location.href).href;
    this.#options = options;
    this.#lastEventId = options.lastEventId ?? "";
    const { share = "" } = options;
    const name = share === false ? this.#member : `ocis-sse-client ${this.url} ${share}`;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }: MessageEvent<ToMember | ToHost>) => this.#hear(data as ToMember);
    this.#whileOpen(this.#member, () => this.#join());
    addEventListener("pagehide", () => this.#leave(), { signal: this.#closed.signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.#join(), { signal: this.#closed.signal });
    this.#share(name, share !== false);
  }

  get readyState(): number {
    return this.#readyState;
  }

  /** The id of the last event that has come. */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  /** The language in which events come, where there is a choice. It is known when the stream is open. */
  get language(): string | null {
    return this.#language ?? null;
  }

  /** Chooses the user's language, on all devices: a tag such as `de-AT`, or `null` for the one that the browser asks for. */
  set language(language: string | null) {
    void this.#choose(language);
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

  /** Sees to it that somebody holds the connection. */
  #share(name: string, shared: boolean): void {
    const { SharedWorker, navigator } = globalThis;
    const { locks } = navigator as Partial<Navigator>;
    if (shared && SharedWorker as unknown) {
      const worker = new SharedWorker(new URL("./worker.js", import.meta.url), { type: "module", name });
      worker.onerror = () => this.#hold(name, locks);
    } else {
      this.#hold(name, shared ? locks : undefined);
    }
  }

  /** Holds it here: as long as this stream is open, and with locks when no other tab does. */
  #hold(name: string, locks: LockManager | undefined): void {
    const hold = (): void => this.#closed.signal.addEventListener("abort", host(name));
    if (locks) this.#whileOpen(name, hold);
    else hold();
  }

  /** Takes a lock, when it is free, until this is closed. Where there are no locks, everybody has them. */
  #whileOpen(lock: string, locked: () => void): void {
    const { signal } = this.#closed;
    const { locks } = navigator as Partial<Navigator>;
    if (!locks) return locked();
    const taken = locks.request(lock, { signal }, () => {
      locked();
      return new Promise((release) => signal.addEventListener("abort", release));
    });
    // It was closed before its turn came.
    taken.catch(() => undefined);
  }

  #tell(message: ToHost): void {
    if (!this.#closed.signal.aborted) this.#channel.postMessage(message);
  }

  #join(): void {
    const { headers = {}, credentials = "same-origin" } = this.#options;
    const settings: Settings = { url: this.url, headers, credentials, lastEventId: this.#lastEventId };
    this.#tell({ to: "host", kind: "join", member: this.#member, settings });
  }

  #leave(): void {
    this.#tell({ to: "host", kind: "leave", member: this.#member });
  }

  #hear(message: ToMember): void {
    if (message.to !== "all" && message.to !== this.#member) return;
    if (message.kind === "here") this.#join();
    if (message.kind === "state") this.#turn(message.state);
    if (message.kind === "block") this.#take(message.block);
    if (message.kind === "ask") void this.#answer(message.question);
  }

  async #answer(question: number): Promise<void> {
    try {
      this.#tell({ to: "host", kind: "token", question, token: await this.#token() });
    } catch {
      // Whoever supplies the token has failed; another tab is asked.
    }
  }

  async #token(): Promise<string | undefined> {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }

  #turn({ readyState, status, language }: State): void {
    const before = this.#readyState;
    this.#readyState = readyState;
    if (language) this.#speak(language);
    if (readyState === OPEN && before !== OPEN) this.#dispatch(new Event("open"));
    if (readyState !== OPEN && (before === OPEN || status)) this.#fail(status);
  }

  #take({ type, data, id, comment }: Block): void {
    const [, language] = /^language (\S+)$/.exec(comment ?? "") ?? [];
    if (language) this.#speak(language);
    if (id !== undefined) this.#lastEventId = id;
    if (data === undefined || (id && this.#known.has(id))) return;
    if (id) this.#remember(id);
    const { origin } = new URL(this.url);
    this.#dispatch(new MessageEvent(type || "message", { data, origin, lastEventId: this.#lastEventId }));
  }

  #remember(id: string): void {
    this.#known.add(id);
    if (this.#known.size > KNOWN_EVENTS) for (const oldest of this.#known) return void this.#known.delete(oldest);
  }

  #speak(language: string): void {
    if (language === this.#language) return;
    this.#language = language;
    this.#dispatch(new Event("languagechange"));
  }

  async #choose(language: string | null): Promise<void> {
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
      this.#speak(effective);
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

import { type Block, parser } from "./parser.js";
import { MAX_DELAY, renewal } from "./token.js";

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSED = 2;

/** The parameters of a connection. */
export interface Settings {
  url: string;
  headers: Record<string, string>;
  credentials: RequestCredentials;
  lastEventId: string;
  /** The time in milliseconds without data after which the connection counts as dead. */
  maxSilence: number | undefined;
}

/** The state of a connection: `status` is that of a rejected request, `language` that of the events. */
export interface State {
  readyState: number;
  status?: number;
  language?: string;
}

/** Receives the blocks and states of a connection, and supplies its token. */
export interface Handler {
  /** Returns the access token; `undefined` if a cookie has it. */
  token(): Promise<string | undefined>;
  state(state: State): void;
  block(block: Block): void;
}

/** An open connection, or one that is opened again. */
export interface Connection {
  /** Connects again soon, because the connection may be silently dead. */
  reconnect(): void;
  close(): void;
}

/** The reconnection time in milliseconds, unless the service sends another one. */
const DEFAULT_RETRY = 3000;
/** The limit of doublings of the reconnection time after failures. */
const MAX_DOUBLINGS = 4;
/** Temporary errors besides 5xx. */
const TEMPORARY = [408, 425, 429];
/** The time in milliseconds after which the clock is read again. */
const CLOCK_INTERVAL = 10_000;
/** The time in milliseconds between two readings after which the machine has slept or the tab was frozen. Timers of hidden tabs fire once a minute. */
const MAX_CLOCK_INTERVAL = 90_000;
/** The time in milliseconds in which several reasons to reconnect count as one, such as the same event in all tabs. */
const SETTLE_TIME = 500;

type Timer = ReturnType<typeof setTimeout> | undefined;

/** Keeps a stream open until it is closed or the service rejects the request for good. */
export function follow(settings: Settings, handler: Handler): Connection {
  const { url, credentials, maxSilence } = settings;
  let { lastEventId } = settings;
  let retry = DEFAULT_RETRY;
  let failures = 0;
  let rejected = false;
  let closed = false;
  // Ends the request, or the wait for the next one.
  let current = new AbortController();
  let reconnecting: Timer;

  const next = (): AbortSignal => {
    current.abort();
    current = new AbortController();
    return current.signal;
  };
  const reconnect = (): void => {
    clearTimeout(reconnecting);
    reconnecting = setTimeout(() => current.abort(), SETTLE_TIME * (1 + Math.random()));
  };
  const close = (): void => {
    closed = true;
    clearInterval(clock);
    clearTimeout(reconnecting);
    current.abort();
  };
  const backoff = (): number => retry * 2 ** Math.min(failures++, MAX_DOUBLINGS) * (1 + Math.random() / 2);

  let read = Date.now();
  const clock = setInterval(() => {
    const now = Date.now();
    if (now - read > MAX_CLOCK_INTERVAL) reconnect();
    read = now;
  }, CLOCK_INTERVAL);

  /** Opens a stream and reads it to its end. Returns the time until the next attempt in milliseconds. */
  async function connect(signal: AbortSignal): Promise<number> {
    let renewing: Timer;
    let silence: Timer;
    let renewed = false;
    const rejectedBefore = rejected;
    rejected = false;
    const renew = async (token: string): Promise<void> => {
      try {
        renewed = (await handler.token()) !== token;
        if (renewed && !signal.aborted) current.abort();
      } catch {
        // The stream lasts until the token expires; the next attempt asks again.
      }
    };
    const listen = (): void => {
      clearTimeout(silence);
      if (maxSilence) silence = setTimeout(reconnect, maxSilence);
    };
    try {
      const token = await handler.token();
      const headers: Record<string, string> = { ...settings.headers, Accept: "text/event-stream" };
      if (token) headers.Authorization = `Bearer ${token}`;
      if (lastEventId) headers["Last-Event-ID"] = lastEventId;
      listen();
      const response = await fetch(url, { headers, credentials, cache: "no-store", signal });
      const { status } = response;
      if (status === 200 && response.headers.get("Content-Type")?.startsWith("text/event-stream") && response.body) {
        failures = 0;
        const language = response.headers.get("Content-Language");
        handler.state({ readyState: OPEN, ...(language && { language }) });
        const renewIn = token && renewal(token);
        // The service has accepted the token, so if it has expired by this clock, the clock is wrong.
        if (renewIn && renewIn > 0) renewing = setTimeout(renew, renewIn, token);
        const parse = parser((block) => {
          lastEventId = block.id ?? lastEventId;
          retry = block.retry ?? retry;
          handler.block(block);
        });
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
          listen();
          parse(piece.value);
        }
      } else if (status === 401 && token && !rejectedBefore) {
        // The token may have expired just now; the next one is tried at once.
        rejected = true;
        return 0;
      } else if (status >= 500 || TEMPORARY.includes(status)) {
        handler.state({ readyState: CONNECTING, status });
        return Math.max(retryAfter(response), backoff());
      } else {
        handler.state({ readyState: CLOSED, status });
        close();
      }
    } catch {
      // The connection failed or was ended.
    } finally {
      clearTimeout(renewing);
      clearTimeout(silence);
    }
    if (!closed && !renewed) handler.state({ readyState: CONNECTING });
    return signal.aborted ? 0 : backoff();
  }

  const run = async (): Promise<void> => {
    while (!closed) {
      const wait = await connect(next());
      if (!closed) await pause(wait, next());
    }
  };
  void run();
  return { reconnect, close };
}

/** Waits for `time` milliseconds, or until `signal` is aborted. */
function pause(time: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.min(time, MAX_DELAY));
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Returns `Retry-After` in milliseconds. The header has seconds or a date (RFC 9110, 10.2.3). */
function retryAfter(response: Response): number {
  const value = response.headers.get("Retry-After") ?? "";
  const time = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Math.max(0, time || 0);
}

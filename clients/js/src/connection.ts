import { type Block, parser } from "./parser.js";
import { renewal } from "./token.js";

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSED = 2;

/** The parameters of a connection. */
export interface Settings {
  url: string;
  headers: Record<string, string>;
  credentials: RequestCredentials;
  lastEventId: string;
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

/** The reconnection time in milliseconds, unless the service sends another one. */
const DEFAULT_RETRY = 3000;
/** The limit of doublings of the reconnection time after failures. */
const MAX_DOUBLINGS = 4;
/** Temporary errors besides 5xx. */
const TEMPORARY = [408, 425, 429];

/** Keeps a stream open until the returned function is called or the service rejects the request for good. */
export function follow(settings: Settings, handler: Handler): () => void {
  const closed = new AbortController();
  const { url, credentials } = settings;
  let { lastEventId } = settings;
  let retry = DEFAULT_RETRY;
  let failures = 0;
  let rejected: string | undefined;

  const parse = (): ((piece: string) => void) =>
    parser((block) => {
      lastEventId = block.id ?? lastEventId;
      retry = block.retry ?? retry;
      handler.block(block);
    });

  /** Opens a stream and reads it to its end. Returns the time until the next attempt in milliseconds, or `undefined` for none. */
  async function connect(): Promise<number | undefined> {
    const request = new AbortController();
    const abort = (): void => request.abort();
    closed.signal.addEventListener("abort", abort);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let renewed = false;
    try {
      const token = await handler.token();
      const headers: Record<string, string> = { ...settings.headers, Accept: "text/event-stream" };
      if (token) headers.Authorization = `Bearer ${token}`;
      if (lastEventId) headers["Last-Event-ID"] = lastEventId;
      const response = await fetch(url, { headers, credentials, cache: "no-store", signal: request.signal });
      const { status } = response;
      if (status === 200 && response.headers.get("Content-Type")?.startsWith("text/event-stream") && response.body) {
        failures = 0;
        rejected = undefined;
        const language = response.headers.get("Content-Language");
        handler.state({ readyState: OPEN, ...(language && { language }) });
        const renewIn = token && renewal(token);
        if (renewIn) {
          timer = setTimeout(async () => {
            renewed = (await handler.token()) !== token;
            if (renewed) abort();
          }, renewIn);
        }
        const read = parse();
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) read(piece.value);
      } else if (status === 401 && token && token !== rejected) {
        // The token may have expired just now; the next one is tried at once.
        rejected = token;
        return 0;
      } else if (status >= 500 || TEMPORARY.includes(status)) {
        handler.state({ readyState: CONNECTING, status });
        return Math.max(retryAfter(response), backoff());
      } else {
        handler.state({ readyState: CLOSED, status });
        return undefined;
      }
    } catch {
      // The connection failed or was closed.
    } finally {
      clearTimeout(timer);
      closed.signal.removeEventListener("abort", abort);
      request.abort();
    }
    if (renewed) return 0;
    if (!closed.signal.aborted) handler.state({ readyState: CONNECTING });
    return backoff();
  }

  const backoff = (): number => retry * 2 ** Math.min(failures++, MAX_DOUBLINGS) * (1 + Math.random() / 2);

  const run = async (): Promise<void> => {
    for (let wait = await connect(); wait !== undefined && !closed.signal.aborted; wait = await connect()) {
      await new Promise((resolve) => {
        setTimeout(resolve, wait);
        closed.signal.addEventListener("abort", resolve);
      });
      if (closed.signal.aborted) return;
    }
  };
  void run();
  return () => closed.abort();
}

/** Returns `Retry-After` in milliseconds. The header has seconds or a date (RFC 9110, 10.2.3). */
function retryAfter(response: Response): number {
  const value = response.headers.get("Retry-After") ?? "";
  const time = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Math.max(0, time || 0);
}

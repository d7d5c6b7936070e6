import { parser, type Block } from "./parser.js";
import { renewal } from "./token.js";

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSED = 2;

/** What is asked for. */
export interface Settings {
  url: string;
  headers: Record<string, string>;
  credentials: RequestCredentials;
  lastEventId: string;
}

/** How a connection stands. `status` is that of a refusal, `language` the one in which events come. */
export interface State {
  readyState: number;
  status?: number;
  language?: string;
}

/** Whom a connection serves. */
export interface Owner {
  /** The token to be shown; none where a cookie carries it. */
  token(): Promise<string | undefined>;
  state(state: State): void;
  block(block: Block): void;
}

/** How long to wait before coming back, where the service has not said. */
const RETRY = 3000;
/** So often the time to wait is doubled while nothing succeeds. */
const DOUBLINGS = 4;
/** Statuses that pass, besides those that tell of the service's own trouble. */
const PASSING = [408, 425, 429];

/** Keeps a stream open until the function that it returns is called, or the service says that there is none. */
export function follow(settings: Settings, owner: Owner): () => void {
  const closed = new AbortController();
  const { url, credentials } = settings;
  let { lastEventId } = settings;
  let retry = RETRY;
  let failures = 0;
  let refused: string | undefined;

  const parse = (): ((piece: string) => void) =>
    parser((block) => {
      lastEventId = block.id ?? lastEventId;
      retry = block.retry ?? retry;
      owner.block(block);
    });

  /** Opens a stream and reads it to its end. Answers how long to wait then, or `undefined` when it is not to be tried again. */
  async function once(): Promise<number | undefined> {
    const line = new AbortController();
    const abort = (): void => line.abort();
    closed.signal.addEventListener("abort", abort);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let renewed = false;
    try {
      const token = await owner.token();
      const headers: Record<string, string> = { ...settings.headers, Accept: "text/event-stream" };
      if (token) headers["Authorization"] = `Bearer ${token}`;
      if (lastEventId) headers["Last-Event-ID"] = lastEventId;
      const response = await fetch(url, { headers, credentials, cache: "no-store", signal: line.signal });
      const { status } = response;
      if (status === 200 && response.headers.get("Content-Type")?.startsWith("text/event-stream") && response.body) {
        failures = 0;
        refused = undefined;
        const language = response.headers.get("Content-Language");
        owner.state({ readyState: OPEN, ...(language && { language }) });
        const renewIn = token && renewal(token);
        if (renewIn) {
          timer = setTimeout(async () => {
            renewed = (await owner.token()) !== token;
            if (renewed) abort();
          }, renewIn);
        }
        const read = parse();
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) read(piece.value);
      } else if (status === 401 && token && token !== refused) {
        // It may have ended just now. The next one is shown at once.
        refused = token;
        return 0;
      } else if (status >= 500 || PASSING.includes(status)) {
        owner.state({ readyState: CONNECTING, status });
        return Math.max(retryAfter(response), backoff());
      } else {
        owner.state({ readyState: CLOSED, status });
        return undefined;
      }
    } catch {
      // The line is gone, or was never there.
    } finally {
      clearTimeout(timer);
      closed.signal.removeEventListener("abort", abort);
      line.abort();
    }
    if (renewed) return 0;
    if (!closed.signal.aborted) owner.state({ readyState: CONNECTING });
    return backoff();
  }

  const backoff = (): number => retry * 2 ** Math.min(failures++, DOUBLINGS) * (1 + Math.random() / 2);

  const run = async (): Promise<void> => {
    for (let wait = await once(); wait !== undefined && !closed.signal.aborted; wait = await once()) {
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

/** In milliseconds; it is told in seconds, or as a time (RFC 9110, 10.2.3). */
function retryAfter(response: Response): number {
  const told = response.headers.get("Retry-After") ?? "";
  const time = /^\d+$/.test(told) ? Number(told) * 1000 : Date.parse(told) - Date.now();
  return time > 0 ? time : 0;
}

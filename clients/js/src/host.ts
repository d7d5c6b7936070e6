import { follow, CONNECTING, type Settings, type State } from "./connection.js";
import type { Block } from "./parser.js";

/** What a tab tells the one who holds the connection. */
export type ToHost =
  | { to: "host"; kind: "join"; member: string; settings: Settings }
  | { to: "host"; kind: "leave"; member: string }
  | { to: "host"; kind: "token"; question: number; token: string | undefined };

/** What the one who holds the connection tells one tab, or all of them. */
export type ToMember =
  | { to: "all"; kind: "here" }
  | { to: "all"; kind: "block"; block: Block }
  | { to: string; kind: "state"; state: State }
  | { to: string; kind: "ask"; question: number };

/** Those who were here before say where they stood, before somebody new begins with what is new. */
const GATHERING = 50;
/** A tab that is frozen does not answer; another one is asked then. */
const ANSWER_TIME = 5000;

/** Holds the one connection for all tabs that join on the channel `name`, until the function that it returns is called. */
export function host(name: string): () => void {
  const channel = new BroadcastChannel(name);
  const members = new Map<string, Settings>();
  const answers = new Map<number, (token: string | undefined) => void>();
  let question = 0;
  let state: State = { readyState: CONNECTING };
  let gathering: ReturnType<typeof setTimeout> | undefined;
  let stop: (() => void) | undefined;

  const tell = (message: ToMember): void => channel.postMessage(message);

  function ask(member: string): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const number = ++question;
      const late = setTimeout(reject, ANSWER_TIME);
      answers.set(number, (token) => {
        clearTimeout(late);
        answers.delete(number);
        resolve(token);
      });
      tell({ to: member, kind: "ask", question: number });
    });
  }

  async function token(): Promise<string | undefined> {
    for (const member of [...members.keys()]) {
      try {
        return await ask(member);
      } catch {
        // It does not answer; the next one may.
      }
    }
    throw new Error("no tab answers");
  }

  function start(): void {
    const all = [...members.values()];
    const settings = all.find(({ lastEventId }) => lastEventId) ?? all[0];
    if (!settings) return;
    stop = follow(settings, {
      token,
      state(next) {
        state = next;
        tell({ to: "all", kind: "state", state });
      },
      block: (block) => tell({ to: "all", kind: "block", block }),
    });
  }

  function leave(member: string): void {
    if (members.delete(member) && members.size === 0) {
      clearTimeout(gathering);
      stop?.();
      stop = gathering = undefined;
      state = { readyState: CONNECTING };
    }
  }

  function join(member: string, settings: Settings): void {
    // It holds this lock for as long as it is there.
    if (!members.has(member)) void navigator.locks?.request(member, () => leave(member));
    members.set(member, settings);
    gathering ??= setTimeout(start, GATHERING);
    tell({ to: member, kind: "state", state });
  }

  channel.onmessage = ({ data }: MessageEvent<ToHost | ToMember>) => {
    if (data.to !== "host") return;
    if (data.kind === "join") join(data.member, data.settings);
    if (data.kind === "leave") leave(data.member);
    if (data.kind === "token") answers.get(data.question)?.(data.token);
  };
  tell({ to: "all", kind: "here" });
  return () => {
    [...members.keys()].forEach(leave);
    channel.close();
  };
}

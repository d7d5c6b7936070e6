import { CLOSED, CONNECTING, type Connection, follow, type Settings, type State } from "./connection.js";
import { locks } from "./locks.js";
import type { Block } from "./parser.js";

/** A message of a tab to the host of the connection. */
export type ToHost =
  | { to: "host"; kind: "join"; member: string; settings: Settings }
  | { to: "host"; kind: "leave"; member: string }
  | { to: "host"; kind: "reconnect" }
  | { to: "host"; kind: "token"; request: number; token: string | undefined };

/** A message of the host to one tab, or to all of them. */
export type ToMember =
  | { to: "all"; kind: "started" }
  | { to: "all"; kind: "block"; block: Block }
  | { to: string; kind: "state"; state: State }
  | { to: string; kind: "token-request"; request: number };

/** The time in milliseconds in which all tabs join a new host, so that it resumes at the position of an earlier one. */
const JOIN_TIME = 50;
/** The time in milliseconds to wait for a tab's token before the next tab is asked: a frozen tab does not answer. */
const ANSWER_TIMEOUT = 5000;

/** Holds one connection for all tabs that join on the channel `name`, until the returned function is called. */
export function host(name: string): () => void {
  const channel = new BroadcastChannel(name);
  const members = new Map<string, Settings>();
  const answers = new Map<number, (token: string | undefined) => void>();
  let requests = 0;
  let state: State = { readyState: CONNECTING };
  let joining: ReturnType<typeof setTimeout> | undefined;
  let connection: Connection | undefined;

  const send = (message: ToMember): void => channel.postMessage(message);

  function requestToken(member: string): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const request = ++requests;
      const timeout = setTimeout(() => {
        answers.delete(request);
        reject();
      }, ANSWER_TIMEOUT);
      answers.set(request, (token) => {
        clearTimeout(timeout);
        answers.delete(request);
        resolve(token);
      });
      send({ to: member, kind: "token-request", request });
    });
  }

  async function token(): Promise<string | undefined> {
    for (const member of [...members.keys()]) {
      try {
        return await requestToken(member);
      } catch {
        // The next tab may answer. This one is asked last from now on.
        const settings = members.get(member);
        if (settings && members.delete(member)) members.set(member, settings);
      }
    }
    throw new Error("no tab answers");
  }

  function start(): void {
    const all = [...members.values()];
    const settings = all.find(({ lastEventId }) => lastEventId) ?? all[0];
    if (!settings) return;
    connection = follow(settings, {
      token,
      state(next) {
        state = next;
        send({ to: "all", kind: "state", state });
        // A frozen tab does not leave, so that the next stream would be closed as well.
        if (state.readyState === CLOSED) leaveAll();
      },
      block: (block) => send({ to: "all", kind: "block", block }),
    });
  }

  function leave(member: string): void {
    if (members.delete(member) && members.size === 0) {
      clearTimeout(joining);
      connection?.close();
      for (const answer of answers.values()) answer(undefined);
      connection = joining = undefined;
      state = { readyState: CONNECTING };
    }
  }

  const leaveAll = (): void => [...members.keys()].forEach(leave);

  function join(member: string, settings: Settings): void {
    // The tab holds this lock until it closes, so a crashed tab leaves as well.
    if (!members.has(member)) void locks?.request(member, () => leave(member));
    members.set(member, settings);
    joining ??= setTimeout(start, JOIN_TIME);
    send({ to: member, kind: "state", state });
  }

  channel.onmessage = ({ data }: MessageEvent<ToHost | ToMember>) => {
    if (data.to !== "host") return;
    if (data.kind === "join") join(data.member, data.settings);
    if (data.kind === "leave") leave(data.member);
    if (data.kind === "reconnect") connection?.reconnect();
    if (data.kind === "token") answers.get(data.request)?.(data.token);
  };
  send({ to: "all", kind: "started" });
  return () => {
    leaveAll();
    channel.close();
  };
}

// A client of the event stream. It may read slowly.

import { problem } from "./document.js";

// What a throttled client reads at a time, and the pause after it. It reads nothing else meanwhile, so that the buffers before it fill (in Chromium: see burst.js).
const PIECE_BYTES = 100 * 1024, PAUSE_MS = 100;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Returns a parser of event streams (WHATWG HTML, 9.2.6) that takes text in pieces of any size. The panel gets the events and the last
    event id, which may also change without an event. */
function eventStreamParser(panel) {
  let rest = "", afterCr = false;
  let data = [], type = "", id = panel.lastEventId;

  function parseLine(line) {
    if (line === "") {
      panel.lastEventId = id;
      if (data.length > 0) panel.add({ type: type || "message", id, data: data.join("\n") });
      data = [];
      type = ""; // the id stays until the next one
    }
    // A comment, such as ": keepalive", is a line with an empty field name. The comment ": language de" announces a change of language.
    const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
    if (field === "" && value.startsWith("language ")) panel.note("language changed to ", value.slice("language ".length));
    if (field === "data") data.push(value);
    if (field === "event") type = value;
    if (field === "id" && !value.includes("\0")) id = value;
  }

  return (text) => {
    // A CR ends the line. An LF at the start of the next piece belongs to the same line end.
    const lines = (rest + (afterCr ? text.replace(/^\n/, "") : text)).split(/\r\n|\r|\n/);
    afterCr = text.endsWith("\r");
    rest = lines.pop();
    lines.forEach(parseLine);
  };
}

/** Reads a response until it ends, as fast as the panel allows. */
async function read(body, signal, panel) {
  const parse = eventStreamParser(panel);
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (let start = 0; start < value.length; start += PIECE_BYTES) {
      panel.showActivity();
      parse(decoder.decode(value.subarray(start, start + PIECE_BYTES), { stream: true }));
      if (panel.isThrottled) await pause(PAUSE_MS);
      // What a disconnected client has not parsed arrives again after its reconnect.
      signal.throwIfAborted();
    }
  }
}

/** Keeps a stream open and reconnects when it ends, until `signal` is aborted or the server rejects the request. */
export async function follow(token, signal, panel) {
  panel.show("connecting");
  while (!signal.aborted) {
    try {
      // EventSource does the same, but cannot send the token in a header.
      const response = await fetch("sse", {
        headers: {
          "x-access-token": token,
          ...(panel.lastEventId && { "Last-Event-ID": panel.lastEventId }), // resumes after this event
        },
        cache: "no-store", // like EventSource
        signal,
      });
      if (response.status >= 400 && response.status < 500) {
        return panel.show("rejected", `${await problem(response)}. Reload the page for a new token.`);
      }
      if (!response.ok) throw new Error(await problem(response));
      panel.show("live");
      await read(response.body, signal, panel);
      throw new Error("the server ended the stream");
    } catch (error) {
      if (signal.aborted) return;
      panel.show("reconnecting", error.message);
    }
    // About two seconds, with jitter, so that a restarted server does not get all clients at once.
    await pause(1500 + 1000 * Math.random());
  }
}

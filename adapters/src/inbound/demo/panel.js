// The panel of a user: a client of the event stream, with its state, its timeline and its events.

import { Progress } from "./burst.js";
import { byId, clock, copyOf, events, problem } from "./document.js";
import { follow } from "./stream.js";
import { Timeline } from "./timeline.js";

const LANGUAGE = "ocs/v2.php/apps/notifications/api/v1/notifications/sse/language";
const MAX_ITEMS = 50, MAX_CHARACTERS = 500;

export function addPanel({ name, token }) {
  const element = copyOf("panel");
  const part = (selector) => element.querySelector(selector);
  const timeline = new Timeline(part(".timeline"));
  const progress = new Progress(part(".progress"));
  let count = 0;
  let connection = null;

  function prepend(item) {
    part(".events").prepend(item);
    part(`.events > :nth-child(${MAX_ITEMS + 1})`)?.remove();
  }

  const panel = {
    lastEventId: "",
    get isThrottled() {
      return part("[name=throttled]").checked;
    },
    show(state, reason = "") {
      if (state === "rejected" || state === "disconnected") connection = null;
      if (state === "live") {
        timeline.live(panel.lastEventId);
        panel.showActivity();
      } else if (state !== "connecting") {
        timeline.cut();
      }
      element.dataset.state = state;
      part(".state").textContent = state;
      part(".reason").textContent = reason;
      part("button").textContent = connection ? "Disconnect" : "Reconnect";
    },
    /** Shows the time of the last bytes. Keepalives count too: an idle stream has nothing else. */
    showActivity() {
      part(".activity").textContent = `last activity ${clock()}`;
    },
    /** Adds a note about the stream to the list. */
    note(text, value = "") {
      const note = copyOf("note");
      note.append(text);
      if (value) note.append(Object.assign(document.createElement("code"), { textContent: value }));
      prepend(note);
    },
    /** The page has published an event for this user. */
    published: () => timeline.published(),
    progress,
    /** Adds an event to the list. Its values are inserted as text, never as HTML. */
    add({ type, id, data }) {
      const shown = copyOf("event");
      shown.classList.toggle("gap", type === "stream-gap");
      shown.querySelector("strong").textContent = type;
      shown.querySelector(".small").textContent = `${id} at ${clock()}`;
      shown.querySelector("pre").textContent =
        data.length > MAX_CHARACTERS ? `${data.slice(0, 60)}… (${data.length.toLocaleString()} characters)` : data;
      prepend(shown);
      timeline.received();
      part(".count").textContent = events(++count);
      const result = progress.received(data);
      const isLarge = data.length > MAX_CHARACTERS;
      if (result || !isLarge) part("[aria-live]").textContent = `${name} received ${result || `${type}, ${events(count)}`}`;
    },
  };

  /** Gets the language, or sets it: "" for the browser's default. */
  async function language(chosen) {
    const [method, body] =
      chosen === undefined ? ["GET"] : chosen === "" ? ["DELETE"] : ["PUT", JSON.stringify({ language: chosen })];
    const headers = { "x-access-token": token, "content-type": "application/json" };
    try {
      const response = await fetch(LANGUAGE, { method, headers, body });
      if (!response.ok) throw new Error(await problem(response));
      part("select").value = (await response.json()).language ?? "";
    } catch (error) {
      panel.note(`the language could not be ${method === "GET" ? "read" : "changed"}: ${error.message}`);
    }
  }

  function toggle() {
    if (connection) {
      connection.abort();
      return panel.show("disconnected");
    }
    connection = new AbortController();
    follow(token, connection.signal, panel);
  }

  element.ariaLabel = name;
  part("h2").textContent = name;
  part(".timeline").ariaLabel = `Connection of ${name}`;
  part(".events").ariaLabel = `Events of ${name}`;
  part("progress").ariaLabel = `Burst, received by ${name}`;
  part("button").onclick = toggle;
  part("button").setAttribute("aria-describedby", `state-${name}`);
  part(".state").id = `state-${name}`;
  part("select").ariaLabel = `Language of ${name}`;
  part("select").onchange = ({ target }) => language(target.value);
  language();
  byId("panels").append(element);
  toggle();
  return panel;
}

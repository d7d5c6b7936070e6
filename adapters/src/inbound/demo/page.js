const byId = (id) => document.getElementById(id);
const copyOf = (template) => byId(template).content.firstElementChild.cloneNode(true);
const clock = () => new Date().toTimeString().slice(0, 8);
const users = JSON.parse(byId("users").textContent);
const LANGUAGE = "ocs/v2.php/apps/notifications/api/v1/notifications/sse/language";

/** Returns the text of the problem details. A proxy may have answered without any. */
async function problem(response) {
  const { title = response.statusText, detail = "no details" } = await response.json().catch(() => ({}));
  return `${response.status} ${title}: ${detail}`;
}

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

/** Keeps a stream open and reconnects when it ends, until `signal` is aborted or the server rejects the request. */
async function follow(token, signal, panel) {
  let lost = panel.lastEventId !== "";
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
      panel.showActivity();
      if (lost) panel.note(`reconnected at ${clock()}, resumed after `, panel.lastEventId);
      lost = false;
      const parse = eventStreamParser(panel);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) throw new Error("the server ended the stream");
        panel.showActivity();
        parse(value);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!lost && panel.lastEventId) panel.note(`connection lost at ${clock()}`);
      lost = true;
      panel.show("reconnecting", error.message);
    }
    // About two seconds, with jitter, so that a restarted server does not get all clients at once.
    await new Promise((resolve) => setTimeout(resolve, 1500 + 1000 * Math.random()));
  }
}

const panels = new Map();

function addPanel({ name, token }) {
  const element = copyOf("panel");
  const part = (selector) => element.querySelector(selector);
  let count = 0;
  let missed = 0;
  let connection = null;

  function prepend(item) {
    part("ol").prepend(item);
    part("li:nth-child(51)")?.remove();
  }

  const panel = {
    lastEventId: "",
    show(state, reason = "") {
      if (state === "rejected" || state === "disconnected") connection = null;
      if (state === "live") missed = 0;
      element.dataset.state = state;
      part(".state").textContent = state;
      part(".reason").textContent = reason;
      part("button").textContent = connection ? "Disconnect" : "Reconnect";
    },
    /** Shows the time of the last bytes. Keepalives count too: an idle stream has nothing else. */
    showActivity() {
      part(".activity").textContent = `last activity ${clock()}`;
    },
    /** Adds a note about the connection to the list. */
    note(text, id = "") {
      const note = copyOf("note");
      note.append(text);
      if (id) note.append(Object.assign(document.createElement("code"), { textContent: id }));
      prepend(note);
    },
    /** Counts an event that was published for this user while it is disconnected. */
    published() {
      if (element.dataset.state === "live") return;
      missed += 1;
      part(".reason").textContent = missed === 1 ? "1 event is waiting" : `${missed} events are waiting`;
    },
    /** Adds an event to the list. Its values are inserted as text, never as HTML. */
    add({ type, id, data }) {
      const shown = copyOf("event");
      shown.classList.toggle("gap", type === "stream-gap");
      shown.querySelector("strong").textContent = type;
      shown.querySelector(".small").textContent = `${id} at ${clock()}`;
      shown.querySelector("pre").textContent = data;
      prepend(shown);
      const events = ++count === 1 ? "1 event" : `${count} events`;
      part(".count").textContent = events;
      part("[aria-live]").textContent = `${name} received ${type}, ${events}`;
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
      panel.note(`disconnected at ${clock()}`);
      return panel.show("disconnected", "events that are published now arrive after the reconnect");
    }
    connection = new AbortController();
    follow(token, connection.signal, panel);
  }

  panels.set(name, panel);
  element.ariaLabel = name;
  part("h2").textContent = name;
  part("ol").ariaLabel = `Events of ${name}`;
  part("button").onclick = toggle;
  part("select").ariaLabel = `Language of ${name}`;
  part("select").onchange = ({ target }) => language(target.value);
  language();
  byId("panels").append(element);
  toggle();
}

function addCheckbox({ name }, index) {
  const label = copyOf("choice");
  label.append(name);
  label.control.value = name;
  label.control.checked = index < 2; // the third user shows that an event reaches its recipients only
  document.querySelector("fieldset").append(label);
}

users.forEach(addPanel);
users.forEach(addCheckbox);

const form = document.forms[0];
const output = document.querySelector("output");

async function publish() {
  const to = new FormData(form).getAll("users");
  if (to.length === 0) throw new Error("Choose at least one user.");
  const { type, content, de, fr } = form.elements;
  // An empty translation is omitted.
  const translations = Object.fromEntries([de, fr].filter(({ value }) => value.trim()).map(({ name, value }) => [name, value]));
  const response = await fetch("publish", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ users: to, type: type.value, content: content.value, translations }),
    signal: AbortSignal.timeout(5000),
  });
  if (!response.ok) throw new Error(await problem(response));
  for (const name of to) panels.get(name).published();
  return `Published to ${to.join(", ")} at ${clock()}.`;
}

form.onsubmit = async (event) => {
  event.preventDefault();
  try {
    output.textContent = await publish();
    output.className = "";
  } catch (error) {
    // With HTTP/1.1 a browser opens at most six connections to a server, and each stream takes one.
    output.textContent = error.name === "TimeoutError" ? "No answer. Is this page open in another tab?" : error.message;
    output.className = "bad";
  }
};

byId("curl").textContent = `curl -N -H 'x-access-token: ${users[0].token}' ${new URL("sse", document.baseURI)}`;
byId("copy").onclick = async () => {
  try {
    await navigator.clipboard.writeText(byId("curl").textContent);
    byId("copied").textContent = "Copied.";
  } catch {
    // Only pages from localhost or over HTTPS may write to the clipboard.
    getSelection().selectAllChildren(byId("curl"));
    byId("copied").textContent = "Selected. Copy it with your keyboard.";
  }
};

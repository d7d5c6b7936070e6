// The form that publishes events, and the panels that receive them.

import { BURST_EVENTS, BURST_TYPE, nextLargeEvent } from "./burst.js";
import { byId, clock, copyOf, problem } from "./document.js";
import { addPanel } from "./panel.js";

const users = JSON.parse(byId("users").textContent);
const panels = new Map(users.map((user) => [user.name, addPanel(user)]));

users.forEach(({ name }, index) => {
  const label = copyOf("choice");
  label.append(name);
  label.control.value = name;
  label.control.checked = index < 2; // the third user shows that an event reaches its recipients only
  document.querySelector("fieldset").append(label);
});

/* ---- publishing ---- */

const form = document.forms[0];
const output = form.querySelector("output");

function recipients() {
  const to = new FormData(form).getAll("users");
  if (to.length === 0) throw new Error("Choose at least one user.");
  return to;
}

async function publish(event) {
  const response = await fetch("publish", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(event),
    signal: AbortSignal.timeout(5000),
  });
  if (!response.ok) throw new Error(await problem(response));
  for (const name of event.users) panels.get(name).published();
}

async function publishForm() {
  const to = recipients();
  const { type, content, de, fr } = form.elements;
  // An empty translation is omitted.
  const translations = Object.fromEntries([de, fr].filter(({ value }) => value.trim()).map(({ name, value }) => [name, value]));
  await publish({ users: to, type: type.value, content: content.value, translations });
  return `Published to ${to.join(", ")} at ${clock()}.`;
}

async function publishBurst() {
  const to = recipients();
  // The history has room for one burst.
  const slow = to.filter((name) => panels.get(name).progress.behind > 0);
  if (slow.length > 0) throw new Error(`The last burst has not reached ${slow.join(", ")} yet.`);
  const progresses = to.map((name) => panels.get(name).progress);
  for (const progress of progresses) progress.begin();
  for (let count = 1; count <= BURST_EVENTS; count++) {
    const { number, content } = nextLargeEvent();
    // An event may arrive before the answer to its publication.
    for (const progress of progresses) progress.published(number);
    try {
      await publish({ users: to, type: BURST_TYPE, content });
    } catch (error) {
      for (const progress of progresses) progress.abort(number);
      throw error;
    }
  }
  return `Published ${BURST_EVENTS} events to ${to.join(", ")} at ${clock()}.`;
}

async function show(publication) {
  const buttons = form.querySelectorAll("button");
  for (const button of buttons) button.ariaDisabled = "true"; // unlike `disabled`, this keeps the focus
  try {
    output.textContent = await publication();
    output.className = "";
  } catch (error) {
    // With HTTP/1.1 a browser opens at most six connections to a server, and each stream takes one.
    output.textContent = error.name === "TimeoutError" ? "No answer. Is this page open in another tab?" : error.message;
    output.className = "bad";
  }
  for (const button of buttons) button.ariaDisabled = null;
}

form.onsubmit = (event) => {
  event.preventDefault();
  if (event.submitter?.ariaDisabled) return;
  show(event.submitter === byId("burst") ? publishBurst : publishForm);
};

/* ---- snippets ---- */

const [{ token }] = users;
const address = new URL("sse", document.baseURI);

// A page of another origin may send `authorization`, but not `x-access-token`.
const SNIPPETS = {
  curl: `curl -N -H 'x-access-token: ${token}' ${address}`,
  script: `fetch("${address}", { headers: { authorization: "Bearer ${token}" } }).then(({ body }) =>
  body.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write: (text) => console.log(text) })),
);`,
};

for (const [id, text] of Object.entries(SNIPPETS)) {
  const [heading, code, status] = byId(id).children;
  code.textContent = text;
  heading.querySelector("button").onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = "Copied.";
    } catch {
      // Only pages from localhost or over HTTPS may write to the clipboard.
      getSelection().selectAllChildren(code);
      status.textContent = "Selected. Copy it with your keyboard.";
    }
  };
}

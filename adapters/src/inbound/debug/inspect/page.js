// Shows the samples and events of /inspect/live, and the streams of one user. All received values are inserted as text, never as HTML.

import { showInCharts } from "./charts.js";
import { duration, integer, size } from "./format.js";

const byId = (id) => document.getElementById(id);
const content = byId("content");
const login = byId("login");

/* ---- the token, stored for this tab only ---- */

const TOKEN = "debug token";
let token = sessionStorage.getItem(TOKEN);

const fetchWithToken = (path, options = {}) =>
  fetch(path, {
    ...options,
    headers: { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) },
    cache: "no-store",
    credentials: "omit",
  });

login.onsubmit = (event) => {
  event.preventDefault();
  token = login.elements.token.value;
  login.elements.token.value = "";
  follow();
};

byId("forget").onclick = () => {
  token = null;
  sessionStorage.removeItem(TOKEN);
  location.reload();
};

/* ---- samples and events ---- */

function showState(state, text) {
  byId("state").dataset.state = state;
  if (byId("state").textContent !== text) byId("state").textContent = text;
}

function showSample(sample) {
  byId("version").textContent = sample.version;
  showState(sample.not_ready ? "unready" : "ready", sample.not_ready ?? "ready: published events reach clients");
  showInCharts(sample);
  byId("opened").textContent = integer(sample.opened);
  const total = sample.ended.reduce((sum, [, count]) => sum + count, 0);
  const shown = byId("reasons");
  // The list is created once, so that it can be selected and read aloud while its numbers change.
  if (!shown.children.length) {
    for (const [text] of sample.ended) {
      const [reason, share] = [document.createElement("dt"), document.createElement("dd")];
      reason.textContent = text;
      share.append(document.createElement("progress"), document.createElement("span"));
      share.firstChild.ariaLabel = text;
      shown.append(reason, share);
    }
  }
  sample.ended.forEach(([, count], index) => {
    const [bar, number] = shown.querySelectorAll("dd")[index].children;
    bar.max = Math.max(total, 1);
    bar.value = count;
    number.textContent = integer(count);
  });
}

const MAX_EVENTS = 50;

function showEvents(events) {
  for (const { id, type, recipients, age_seconds } of events) {
    const row = byId("events").insertRow(0);
    const at = new Date(Date.now() - age_seconds * 1000);
    addCell(row, at.toLocaleTimeString());
    addCell(row, type || "(none)", "type").title = type;
    addCell(row, recipients === null ? "everyone" : integer(recipients), "number");
    addCell(row, id, "id");
  }
  while (byId("events").rows.length > MAX_EVENTS) byId("events").deleteRow(-1);
  const none = byId("events").rows.length === 0;
  byId("no-events").hidden = !none;
  byId("events").closest(".scrolled").hidden = none;
}

function addCell(row, text, name = "") {
  const cell = row.insertCell();
  cell.textContent = text;
  cell.className = name;
  return cell;
}

/* ---- the event stream ---- */

/** Yields the blocks of the service's event stream, whose lines end with LF, as objects. */
async function* blocks(body) {
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const ready = (rest + value).split("\n\n");
    rest = ready.pop();
    for (const block of ready) {
      yield Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
    }
  }
}

let following;

async function follow() {
  following?.abort();
  const { signal } = (following = new AbortController());
  while (!signal.aborted) {
    try {
      const response = await fetchWithToken("inspect/live", { signal });
      if (response.status === 401) return askForToken();
      if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
      opened();
      for await (const { event, data } of blocks(response.body)) {
        if (event === "sample") showSample(JSON.parse(data));
        if (event === "events") showEvents(JSON.parse(data));
        if (event === "sample" && shownUser !== null && !pendingRequest) find(shownUser);
      }
      throw new Error("connection closed");
    } catch (error) {
      if (signal.aborted) return;
      showState("gone", `no connection, trying again (${error.message})`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

function askForToken() {
  login.querySelector("output").textContent = token ? "The token is not valid." : "";
  token = null;
  sessionStorage.removeItem(TOKEN);
  showState("locked", "debug token required");
  content.hidden = true;
  byId("forget").hidden = true;
  login.hidden = false;
  login.elements.token.focus();
}

function opened() {
  if (token) sessionStorage.setItem(TOKEN, token);
  byId("forget").hidden = !token;
  login.hidden = true;
  content.hidden = false;
  byId("events").replaceChildren(); // the stream starts with all recent events
  showEvents([]);
}

/* ---- the streams of one user ---- */

let shownUser = null; // the user whose streams are shown or requested
let pendingRequest = null; // the AbortController of the current request for the streams
let endMessage = ""; // the result of the last request to end streams

byId("find").onsubmit = (event) => {
  event.preventDefault();
  endMessage = "";
  const user = byId("id").value;
  if (user !== shownUser) showMessage(""); // hides the streams of the previous user, so that they cannot be ended by mistake
  find(user);
};

/** Sends a request; resolves to `{ result }`, or to `{ error }` with its text. */
async function request(path, options) {
  try {
    const response = await fetchWithToken(path, options);
    return response.ok ? { result: await response.json() } : { error: await response.text() };
  } catch (error) {
    return { error: error.message };
  }
}

/** Shows the streams of a user. Responses to earlier requests are discarded. */
async function find(user) {
  shownUser = user;
  pendingRequest?.abort();
  const { signal } = (pendingRequest = new AbortController());
  const { result, error } = await request(`inspect/streams?${new URLSearchParams({ user })}`, { signal });
  if (signal.aborted) return;
  pendingRequest = null;
  if (!result) {
    shownUser = null;
    return showMessage(error);
  }
  const { streams, may_end } = result;
  const count = streams.length === 1 ? "1 open stream" : `${streams.length} open streams`;
  showMessage(`${endMessage}${user} has ${streams.length ? count : "no open stream"}.`);
  const [table] = byId("streams").querySelectorAll("tbody");
  table.replaceChildren();
  for (const stream of streams) {
    const row = table.insertRow();
    addCell(row, stream.request_id ?? "–", "id");
    addCell(row, stream.last_event_id ?? "not started yet", "id");
    addCell(row, duration(stream.silent_seconds), "number");
    addCell(row, stream.lag_events ? `${stream.lag_events} (${size(stream.lag_bytes)})` : "–", "number");
    addCell(row, stream.remaining_seconds == null ? "never" : duration(stream.remaining_seconds), "number");
  }
  byId("streams").hidden = byId("end").hidden = streams.length === 0;
  const [button, hint] = byId("end").children;
  button.textContent = streams.length === 1 ? "End the stream" : `End all ${streams.length} streams`;
  button.disabled = !may_end;
  const clients = streams.length === 1 ? "Its client" : "Their clients";
  hint.textContent = may_end ? `${clients} may reconnect at once.` : "Requires debug.token (SSE_DEBUG_TOKEN).";
}

function showMessage(text) {
  if (byId("found").textContent !== text) byId("found").textContent = text;
  byId("streams").hidden = byId("end").hidden = true;
}

byId("end").querySelector("button").onclick = async () => {
  const user = shownUser;
  const { result, error } = await request("inspect/streams/end", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user }),
  });
  endMessage = `${result ? `${result.ended} ended` : error}. `;
  if (user !== shownUser) endMessage = `${user}: ${endMessage}`;
  if (shownUser === null) return showMessage(endMessage);
  await find(shownUser);
  byId("id").focus(); // the button may be hidden now
};

follow();

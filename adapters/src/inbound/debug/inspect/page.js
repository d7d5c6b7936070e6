// Shows what /inspect/live says, and one user's streams. Whatever comes is text, and goes into the page as nothing else.

const byId = (id) => document.getElementById(id);
const main = document.querySelector("main");
const login = byId("login");

/* ---- the token: this tab's alone ---- */

const TOKEN = "debug token";
let token = sessionStorage.getItem(TOKEN);

const ask = (path, options = {}) =>
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

/* ---- charts ---- */

const WIDTH = 300, HEIGHT = 64, KEPT = 120; // a point a second, for two minutes
const SVG = "http://www.w3.org/2000/svg";

const whole = (value) => Math.round(value).toLocaleString();
const rate = (value) => (value < 10 && value % 1 !== 0 ? value.toFixed(1) : whole(value));
const time = (seconds) => (seconds < 1 ? `${+(seconds * 1000).toPrecision(2)} ms` : `${+seconds.toPrecision(2)} s`);

/** A chart of one line or several. `values` takes them out of a sample; one that is not known is null. */
function chart(title, values, format, names = []) {
  const figure = byId("chart").content.firstElementChild.cloneNode(true);
  const [caption, value, svg, most] = figure.children;
  caption.textContent = title;
  byId("charts").append(figure);
  const kept = [];
  const area = svg.appendChild(document.createElementNS(SVG, "polygon"));
  const lines = values({ latency_seconds: [] }).map((_, index) => {
    const line = svg.appendChild(document.createElementNS(SVG, "polyline"));
    line.setAttribute("class", `line${index}`);
    return line;
  });

  return (sample) => {
    kept.push(values(sample));
    if (kept.length > KEPT) kept.shift();
    const top = Math.max(...kept.flat().map((value) => value ?? 0));
    const x = (index) => WIDTH - (kept.length - 1 - index) * (WIDTH / (KEPT - 1));
    const y = (value) => HEIGHT - (top > 0 ? value / top : 0) * (HEIGHT - 2);
    lines.forEach((line, number) => {
      const known = kept.map((point, index) => [index, point[number]]).filter(([, value]) => value != null);
      const points = known.map(([index, value]) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
      line.setAttribute("points", points.join(" "));
      if (number === 0) {
        const ends = known.length ? [x(known.at(-1)[0]), x(known[0][0])] : [0, 0];
        area.setAttribute("points", `${points.join(" ")} ${ends.map((end) => `${end.toFixed(1)},${HEIGHT}`).join(" ")}`);
      }
    });
    value.replaceChildren(...kept.at(-1).map((present, number) => {
      const shown = document.createElement("span");
      shown.textContent = present == null ? "–" : format(present);
      if (names[number]) {
        shown.className = `line${number}`;
        const name = document.createElement("small");
        name.textContent = names[number];
        shown.append(name);
      }
      return shown;
    }));
    most.textContent = top > 0 ? `at most ${format(top)}` : "";
  };
}

const charts = [
  chart("Streams", ({ streams }) => [streams], whole),
  chart("Users", ({ users }) => [users], whole),
  chart("Events a second", (sample) => [sample.events_per_second], rate),
  chart("Deliveries a second", (sample) => [sample.deliveries_per_second], rate),
  chart("Messages behind the bus", (sample) => [sample.bus_lag], whole),
  chart("From the bus to the client", ({ latency_seconds: [half, most, nearly] }) => [half, most, nearly], time, ["50 %", "95 %", "99 %"]),
];

/* ---- what is told ---- */

function showState(state, text) {
  byId("state").dataset.state = state;
  if (byId("state").textContent !== text) byId("state").textContent = text;
}

function showSample(sample) {
  byId("version").textContent = sample.version;
  showState(sample.not_ready ? "unready" : "ready", sample.not_ready ?? "what is published reaches clients");
  for (const show of charts) show(sample);
  byId("opened").textContent = whole(sample.opened);
  const total = sample.ended.reduce((sum, [, count]) => sum + count, 0);
  const shown = byId("reasons");
  // Made once, so that it can be read and selected while it changes.
  if (!shown.children.length) {
    for (const [words] of sample.ended) {
      const [reason, share] = [document.createElement("dt"), document.createElement("dd")];
      reason.textContent = words;
      share.append(document.createElement("progress"), document.createElement("span"));
      share.firstChild.ariaLabel = words;
      shown.append(reason, share);
    }
  }
  sample.ended.forEach(([, count], index) => {
    const [bar, number] = shown.querySelectorAll("dd")[index].children;
    bar.max = Math.max(total, 1);
    bar.value = count;
    number.textContent = whole(count);
  });
}

const MOST_EVENTS = 50;

function showEvents(events) {
  for (const { id, type, recipients, age_seconds } of events) {
    const row = byId("events").insertRow(0);
    const at = new Date(Date.now() - age_seconds * 1000);
    cell(row, at.toLocaleTimeString());
    cell(row, type || "(none)", "type").title = type;
    cell(row, recipients === null ? "everyone" : whole(recipients), "number");
    cell(row, id, "id");
  }
  while (byId("events").rows.length > MOST_EVENTS) byId("events").deleteRow(-1);
  const none = byId("events").rows.length === 0;
  byId("no-events").hidden = !none;
  byId("events").closest(".scrolled").hidden = none;
}

function cell(row, text, name = "") {
  const made = row.insertCell();
  made.textContent = text;
  made.className = name;
  return made;
}

/* ---- following ---- */

/** Reads the blocks of our own event stream, whose lines end with LF, from text in pieces of any size. */
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
      const response = await ask("inspect/live", { signal });
      if (response.status === 401) return askForToken();
      if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
      opened();
      for await (const { event, data } of blocks(response.body)) {
        if (event === "sample") showSample(JSON.parse(data));
        if (event === "events") showEvents(JSON.parse(data));
        if (event === "sample" && asked !== null && !question) find(asked);
      }
      throw new Error("the line has ended");
    } catch (error) {
      if (signal.aborted) return;
      showState("gone", `no answer, trying again (${error.message})`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

function askForToken() {
  login.querySelector("output").textContent = token ? "This is not the token." : "";
  token = null;
  sessionStorage.removeItem(TOKEN);
  showState("locked", "the token is needed");
  main.hidden = true;
  byId("forget").hidden = true;
  login.hidden = false;
  login.elements.token.focus();
}

function opened() {
  if (token) sessionStorage.setItem(TOKEN, token);
  byId("forget").hidden = !token;
  login.hidden = true;
  main.hidden = false;
  byId("events").replaceChildren(); // they are told from the beginning
  showEvents([]);
}

/* ---- one user's streams ---- */

let asked = null; // the user whose streams are shown, or will be
let question = null; // the request for them that is under way
let said = ""; // of what was done to them

byId("find").onsubmit = (event) => {
  event.preventDefault();
  said = "";
  const user = byId("id").value;
  if (user !== asked) showFound(""); // those of the one before are not to be ended any more
  find(user);
};

/** The server's answer, or why there is none. */
async function answer(path, options) {
  try {
    const response = await ask(path, options);
    return response.ok ? { answered: await response.json() } : { refused: await response.text() };
  } catch (error) {
    return { refused: error.message };
  }
}

/** Shows a user's streams. What is answered to a question before this one is not shown any more. */
async function find(user) {
  asked = user;
  question?.abort();
  const { signal } = (question = new AbortController());
  const { answered, refused } = await answer(`inspect/streams?${new URLSearchParams({ user })}`, { signal });
  if (signal.aborted) return;
  question = null;
  if (!answered) {
    asked = null;
    return showFound(refused);
  }
  const { streams, may_end } = answered;
  const count = streams.length === 1 ? "1 stream" : `${streams.length} streams`;
  showFound(`${said}${user} has ${streams.length ? count : "no stream"} open.`);
  const [table] = byId("streams").querySelectorAll("tbody");
  table.replaceChildren();
  for (const stream of streams) {
    const row = table.insertRow();
    cell(row, stream.request_id ?? "–", "id");
    cell(row, stream.last_event_id ?? "not started yet", "id");
    cell(row, duration(stream.silent_seconds), "number");
    cell(row, stream.lag_events ? `${stream.lag_events} (${size(stream.lag_bytes)})` : "–", "number");
    cell(row, stream.remaining_seconds == null ? "never" : duration(stream.remaining_seconds), "number");
  }
  byId("streams").hidden = byId("end").hidden = streams.length === 0;
  const [button, why] = byId("end").children;
  button.textContent = streams.length === 1 ? "End it" : `End all ${streams.length}`;
  button.disabled = !may_end;
  const clients = streams.length === 1 ? "Its client" : "Their clients";
  why.textContent = may_end ? `${clients} may come back at once.` : "Needs debug.token (SSE_DEBUG_TOKEN) to be set.";
}

function showFound(text) {
  if (byId("found").textContent !== text) byId("found").textContent = text;
  byId("streams").hidden = byId("end").hidden = true;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${whole(seconds / 86400)} d`;
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${whole(bytes / 1024)} KiB`;
  return `${whole(bytes / 1024 / 1024)} MiB`;
}

byId("end").querySelector("button").onclick = async () => {
  const user = asked;
  const { answered, refused } = await answer("inspect/streams/end", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user }),
  });
  said = `${answered ? `${answered.ended} ended` : refused}. `;
  if (user !== asked) said = `${user}: ${said}`;
  if (asked === null) return showFound(said);
  await find(asked);
  byId("id").focus(); // the button may be gone
};

follow();

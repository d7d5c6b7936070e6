// The charts of the samples.

import { integer, rate, time } from "./format.js";

const WIDTH = 300, HEIGHT = 64, MAX_POINTS = 120; // one point per second, for two minutes
const SVG = "http://www.w3.org/2000/svg";

/** Adds a chart of one or more lines. `values` returns their values in a sample; an unknown value is null. */
function chart(title, values, format, names = []) {
  const figure = document.getElementById("chart").content.firstElementChild.cloneNode(true);
  const [caption, value, svg, maximum] = figure.children;
  caption.textContent = title;
  document.getElementById("charts").append(figure);
  const samples = [];
  const area = svg.appendChild(document.createElementNS(SVG, "polygon"));
  const lines = values({ latency_seconds: [] }).map((_, index) => {
    const line = svg.appendChild(document.createElementNS(SVG, "polyline"));
    line.setAttribute("class", `line${index}`);
    return line;
  });

  return (sample) => {
    samples.push(values(sample));
    if (samples.length > MAX_POINTS) samples.shift();
    const top = Math.max(...samples.flat().map((value) => value ?? 0));
    const x = (index) => WIDTH - (samples.length - 1 - index) * (WIDTH / (MAX_POINTS - 1));
    const y = (value) => HEIGHT - (top > 0 ? value / top : 0) * (HEIGHT - 2);
    lines.forEach((line, number) => {
      const known = samples.map((point, index) => [index, point[number]]).filter(([, value]) => value != null);
      const points = known.map(([index, value]) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
      line.setAttribute("points", points.join(" "));
      if (number === 0) {
        const ends = known.length ? [x(known.at(-1)[0]), x(known[0][0])] : [0, 0];
        area.setAttribute("points", `${points.join(" ")} ${ends.map((end) => `${end.toFixed(1)},${HEIGHT}`).join(" ")}`);
      }
    });
    value.replaceChildren(...samples.at(-1).map((present, number) => {
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
    maximum.textContent = top > 0 ? `max ${format(top)}` : "";
  };
}

const charts = [
  chart("Streams", ({ streams }) => [streams], integer),
  chart("Users", ({ users }) => [users], integer),
  chart("Events per second", (sample) => [sample.events_per_second], rate),
  chart("Deliveries per second", (sample) => [sample.deliveries_per_second], rate),
  chart("NATS lag in messages", (sample) => [sample.bus_lag], integer),
  chart("Latency from NATS to the client", ({ latency_seconds: [p50, p95, p99] }) => [p50, p95, p99], time, ["50 %", "95 %", "99 %"]),
];

/** Adds a sample to all charts. */
export function showInCharts(sample) {
  for (const show of charts) show(sample);
}

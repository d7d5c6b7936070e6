// A site that serves folders, and passes requests for the platform's API to the service, as the platform's proxy does.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { extname } from "node:path";

const TYPES = { ".html": "text/html", ".js": "text/javascript" };

/** Serves files and folders by their paths, and the API from `port`. */
export async function serve(places, port) {
  const server = createServer((incoming, response) => {
    const { pathname } = new URL(incoming.url, "http://site");
    const [path, place] = Object.entries(places).find(([path]) => pathname.startsWith(path)) ?? [];
    if (pathname.startsWith("/ocs/")) pass(incoming, response, port);
    else send(place + pathname.slice(path?.length), response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function send(path, response) {
  const content = await readFile(path).catch(() => undefined);
  if (content === undefined) response.writeHead(404).end();
  else response.setHeader("content-type", TYPES[extname(path)] ?? "application/octet-stream").end(content);
}

function pass(incoming, response, port) {
  const { method, url, headers } = incoming;
  const passed = request({ host: "127.0.0.1", port, method, path: url, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  passed.on("error", () => response.destroy());
  response.on("close", () => passed.destroy());
  incoming.pipe(passed);
}

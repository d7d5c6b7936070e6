// The npm package of ocis-sse-client.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { Browser } from "./fixture/chromium.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";

const FOLDER = fileURLToPath(new URL("../../clients/js/", import.meta.url));
const description = JSON.parse(readFileSync(`${FOLDER}package.json`, "utf8"));

describe("the package ocis-sse-client", () => {
  it("is under 4 kB gzipped and has no dependencies", () => {
    const scripts = readdirSync(`${FOLDER}dist`).filter((name) => name.endsWith(".js"));
    const sizes = scripts.map((name) => gzipSync(readFileSync(`${FOLDER}dist/${name}`), { level: 9 }).length);
    const size = sizes.reduce((sum, size) => sum + size);
    assert.ok(size < 4000, `${size} bytes`);
    assert.equal(description.dependencies, undefined);
  });

  it("contains only the scripts, their source maps and types, the licence and the README", () => {
    const packed = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: FOLDER, encoding: "utf8" });
    const answer = JSON.parse(packed);
    const [{ files }] = Array.isArray(answer) ? answer : Object.values(answer);
    assert.deepEqual(files.map(({ path }) => path).sort(), [
      "LICENSE",
      "README.md",
      "dist/connection.d.ts",
      "dist/events.d.ts",
      "dist/host.d.ts",
      "dist/index.d.ts",
      "dist/index.js",
      "dist/index.js.map",
      "dist/parser.d.ts",
      "dist/shared.js",
      "dist/shared.js.map",
      "dist/stream.d.ts",
      "dist/token.d.ts",
      "dist/worker.d.ts",
      "dist/worker.js",
      "dist/worker.js.map",
      "package.json",
    ]);
    const exported = Object.values(description.exports).flatMap((entry) => (typeof entry === "string" ? entry : Object.values(entry)));
    for (const path of exported) assert.ok(files.some((file) => `./${file.path}` === path), path);
  });

  it("has types for events and their payloads", () => {
    const { status, stdout } = spawnSync("node_modules/.bin/tsc", ["--project", "tests"], { cwd: FOLDER, encoding: "utf8" });
    assert.equal(status, 0, stdout);
  });
});

describe("the example in the README", () => {
  const [, example] = /```js\n(.*?)```/s.exec(readFileSync(`${FOLDER}README.md`, "utf8"));
  let browser, nats, service;

  before(async () => {
    [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
    service = await Service.start(nats);
  });

  after(async () => {
    await browser.stop();
    await service?.down();
    await nats.stop();
  });

  it("works", async () => {
    const page = await browser.page();
    // In the README the page and the service have the same origin; here they have not.
    const script = example
      .replace('"ocis-sse-client"', '"/ocis-sse-client/index.js"')
      .replace('"/ocs/', `"http://127.0.0.1:${service.port}/ocs/`);
    await page.evaluate((token) => {
      Object.assign(window, { shown: [], said: [], accessToken: () => token, fetchEverythingAgain: () => {} });
      Object.assign(window, { show: (event) => window.shown.push(event), say: (language) => window.said.push(language) });
    }, token("einstein"));
    await page.addScriptTag({ type: "module", content: script });
    await page.waitForFunction(() => window.said.includes("de-AT"));
    await service.hasStreams(1);
    await nats.publish(["einstein"], "userlog-notification", '"Hello"', { de: '"Hallo"' });
    await page.waitForFunction(() => window.shown.length === 1);
    assert.deepEqual(await page.evaluate(() => window.shown), ["Hallo"]);
  });
});

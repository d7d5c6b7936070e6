// The npm package of ocis-sse-client, installed from its tarball, and the examples in its README.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { add, addPage, build, check, examples, INSTALLED, makeProject, PROJECT } from "../../clients/js/tests/project.js";
import { serve } from "../../clients/js/tests/site.js";
import { Browser } from "./fixture/browser.js";
import { Nats } from "./fixture/nats.js";
import { Process } from "./fixture/process.js";
import { Service, token } from "./fixture/service.js";

const PATH = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse";

let files;

before(() => {
  files = makeProject();
  const [before, after] = examples("Instead of `@microsoft/fetch-event-source`");
  add("use.js", examples("Use")[0]);
  add("before.js", before);
  add("after.js", after);
  add("node.js", examples("Node")[0]);
  add("useNotifications.ts", examples("Vue")[0]);
  add("types-example.ts", examples("Types")[0]);
  for (const name of ["use", "before", "after"]) addPage(name, `${name}.js`);
  addPage("vue", "vue-page.ts");
  build();
  add("page.html", examples("A page without a bundler")[0]);
});

describe("the package ocis-sse-client", () => {
  const read = (path) => readFileSync(`${INSTALLED}${path}`, "utf8");

  it("has scripts of less than 4 kB gzipped and has no dependencies", () => {
    const scripts = files.filter((path) => path.endsWith(".js"));
    const size = scripts.reduce((sum, path) => sum + gzipSync(read(path), { level: 9 }).length, 0);
    assert.ok(size <= 4000, `${size} bytes`);
    assert.equal(JSON.parse(read("package.json")).dependencies, undefined);
  });

  it("contains only the scripts, their source maps and types, the licence and the README", () => {
    const sources = ["connection", "events", "host", "index", "locks", "parser", "stream", "token", "worker"];
    const scripts = ["index", "shared", "worker"].flatMap((name) => [`dist/${name}.js`, `dist/${name}.js.map`]);
    const types = sources.map((name) => `dist/${name}.d.ts`);
    assert.deepEqual([...files].sort(), ["LICENSE", "README.md", ...scripts, ...types, "package.json"].sort());
  });

  it("exports only files that it contains", () => {
    const { exports, sideEffects } = JSON.parse(read("package.json"));
    const exported = Object.values(exports).flatMap((entry) => (typeof entry === "string" ? entry : Object.values(entry)));
    for (const path of [...exported, ...sideEffects]) assert.ok(files.includes(path.slice(2)), path);
  });

  it("has source maps with the sources", () => {
    for (const path of files.filter((path) => path.endsWith(".js"))) {
      const [, map] = /\/\/# sourceMappingURL=(.*)/.exec(read(path));
      const { sources, sourcesContent } = JSON.parse(read(`dist/${map}`));
      for (const [index, source] of sources.entries()) {
        const url = new URL(source, new URL("../../clients/js/dist/", import.meta.url));
        assert.equal(sourcesContent[index], readFileSync(url, "utf8"), source);
      }
    }
  });

  for (const resolution of ["node16", "nodenext", "bundler"]) {
    it(`has types with moduleResolution ${resolution}`, () => {
      const module = resolution === "bundler" ? "esnext" : resolution;
      const mistakes = check("--module", module, "--moduleResolution", resolution);
      assert.equal(mistakes, "");
    });
  }
});

describe("the package ocis-sse-client with the service", () => {
  let browser, nats, page, plain, built, service;

  before(async () => {
    [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
    service = await Service.start(nats);
    plain = await serve({ "/page.html": `${PROJECT}page.html`, "/ocis-sse-client": `${INSTALLED}dist` }, service.port);
    built = await serve({ "": `${PROJECT}dist` }, service.port);
  });

  after(async () => {
    await browser.stop();
    plain?.close();
    built?.close();
    await service?.down();
    await nats.stop();
  });

  afterEach(async () => {
    await page?.context().close();
    assert.deepEqual(page?.errors ?? [], []);
    page = undefined;
    await service.hasStreams(0);
  });

  /** Opens a page of a site in a context of its own; it has the functions that the README leaves to the page. */
  async function open(site, path, user) {
    const context = await browser.context();
    page = await context.newPage();
    page.errors = [];
    [page.ownPaths, page.paths] = [[], []];
    page.on("request", (request) => page.ownPaths.push(new URL(request.url()).pathname));
    page.on("pageerror", (error) => page.errors.push(String(error)));
    context.on("request", (request) => page.paths.push(new URL(request.url()).pathname));
    await page.addInitScript((token) => {
      Object.assign(window, { shown: [], said: [], fetchEverythingAgain: () => {}, accessToken: async () => token });
      Object.assign(window, { show: ({ subject }) => window.shown.push(subject), say: (language) => window.said.push(language) });
    }, token(user));
    await page.goto(`http://127.0.0.1:${site.address().port}/${path}`);
    await service.hasStreams(1);
  }

  /** Asserts that a worker with such a path holds the connection. */
  function assertWorker(path) {
    assert.ok(page.paths.some((each) => path.test(each)), page.paths.join());
    assert.ok(!page.ownPaths.includes(PATH), page.ownPaths.join());
  }

  const notify = (user, subject, translations) =>
    nats.publish([user], "userlog-notification", JSON.stringify({ subject }), translations);
  const shows = (subject) => page.waitForFunction((subject) => window.shown.includes(subject), subject);

  it("works in a page without a bundler, with a shared worker", async () => {
    await open(plain, "page.html", "plain");
    await notify("plain", "Hello");
    await page.getByRole("listitem").getByText("Hello", { exact: true }).waitFor();
    assertWorker(/^\/ocis-sse-client\/worker\.js$/);
  });

  it("works as in the README's first example", async () => {
    await open(built, "use.html", "einstein");
    await page.waitForFunction(() => window.said.includes("de-AT"));
    await notify("einstein", "Hello", { de: JSON.stringify({ subject: "Hallo" }) });
    await shows("Hallo");
  });

  it("works with Vite and Vue, with a shared worker", async () => {
    await open(built, "vue.html", "vue");
    await page.locator("ul.connected").waitFor({ state: "attached" });
    await notify("vue", "Hello");
    await page.getByRole("listitem").getByText("Hello", { exact: true }).waitFor();
    assertWorker(/^\/assets\/worker-[^/]*\.js$/);
  });

  for (const name of ["before", "after"]) {
    it(`works ${name} fetch-event-source is replaced`, async () => {
      await open(built, `${name}.html`, name);
      await notify(name, "Hello");
      await shows("Hello");
    });
  }

  /** Runs the README's example for Node. Its process is in `child`, its output in `lines`. */
  function runInNode(token) {
    const env = { ...process.env, SSE_URL: `http://127.0.0.1:${service.port}${PATH}`, TOKEN: token };
    return new Process(process.execPath, ["node.js"], { cwd: PROJECT, env });
  }

  it("works in Node, and lets the process end when the stream is closed", async () => {
    const program = runInNode(token("node"));
    await service.hasStreams(1);
    await notify("node", "Hello");
    await program.ended;
    assert.deepEqual(program.lines, ["Hello"]);
    assert.equal(program.child.exitCode, 0);
  });

  it("lets a process in Node end when its stream is rejected for good", async () => {
    const program = runInNode("nonsense");
    await program.ended;
    assert.deepEqual(program.lines, []);
    assert.equal(program.child.exitCode, 0);
  });
});

// The image as an orchestrator runs it: without privileges, with a read-only file system and with a real nats-server. `scripts/image` builds
// it. A container shares the network of this machine, because podman needs no further programs for that.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { eventually } from "../browser/fixture/eventually.js";
import { Nats } from "../browser/fixture/nats.js";
import { SECRET, token } from "../browser/fixture/service.js";

const PODMAN = fileURLToPath(new URL("../../scripts/podman", import.meta.url));
const CHART = fileURLToPath(new URL("../platforms/helm-chart.env", import.meta.url));
const IMAGE = "localhost/ocis-sse";
const BASE = "localhost/debian:bookworm-slim";
const NAME = "ocis-sse-test";

// Below podman's own limits, which not every machine allows.
const LIMITS = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=1024:1024"];
const UNPRIVILEGED = ["--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"];

/** Runs podman and returns its output. */
async function podman(...args) {
  const { stdout, stderr } = await promisify(execFile)(PODMAN, args);
  return stdout + stderr;
}

const inspect = (field) => podman("inspect", "--format", `{{${field}}}`, NAME).then((text) => text.trim());

/** Tests a container that is started with these options of `podman run` and these arguments. */
function container(name, { options, args, streams, debug }) {
  describe(name, () => {
    let nats, stream;

    before(async () => {
      nats = await Nats.start();
      await podman("rm", "--force", "--ignore", NAME);
      const own = { OCIS_EVENTS_ENDPOINT: nats.address, MICRO_REGISTRY_ADDRESS: nats.address, SSE_JWT_SECRET: SECRET };
      const environment = Object.entries(own).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
      const fixed = ["--detach", "--name", NAME, "--network", "host", ...LIMITS, ...UNPRIVILEGED];
      await podman("run", ...fixed, ...environment, ...options, IMAGE, ...args);
    });

    after(async () => {
      await podman("rm", "--force", "--ignore", NAME);
      await nats.stop();
    });

    it("is alive, and ready soon", async (test) => {
      const answers = (path) => fetch(`http://127.0.0.1:${debug}${path}`).then((answer) => answer.ok, () => false);
      await eventually("ready", () => answers("/readyz"));
      test.diagnostic(`ready ${Date.now() - Date.parse(await inspect(".State.StartedAt"))} ms after the start`);
      assert.ok(await answers("/healthz"));
    });

    it("runs as a user without privileges on a read-only file system", async () => {
      const process = `/proc/${await inspect(".State.Pid")}`;
      const status = await readFile(`${process}/status`, "utf8");
      const mounts = await readFile(`${process}/mounts`, "utf8");
      assert.match(status, /^Uid:\t1000\t1000\t1000\t1000$/m);
      assert.match(status, /^Gid:\t1000\t1000\t1000\t1000$/m);
      assert.match(status, /^CapEff:\t0+$/m);
      assert.match(status, /^CapBnd:\t0+$/m);
      assert.match(mounts, /^\S+ \/ \S+ ro\b/m);
    });

    it("becomes healthy", async () => {
      await podman("healthcheck", "run", NAME);
      assert.equal(await inspect(".State.Healthcheck.Status"), "healthy");
    });

    it("has the program under the names of the platforms' programs", async () => {
      const version = await podman("exec", NAME, "ocis-sse", "version");
      for (const name of ["ocis", "opencloud"]) {
        assert.equal(await podman("exec", NAME, name, "sse", "version"), version);
        assert.equal(await podman("exec", NAME, name, "sse", "health"), "healthy\n");
      }
    });

    it("delivers an event", async () => {
      const answer = await fetch(`http://127.0.0.1:${streams}/sse`, { headers: { "x-access-token": token("einstein") } });
      stream = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      await nats.publish(["einstein"], "share-created", "an event");
      let received = "";
      while (!received.includes("data: an event\n")) received += (await stream.read()).value;
    });

    it("ends its streams and itself on a stop", async (test) => {
      const start = Date.now();
      await podman("stop", "--time", "20", NAME);
      test.diagnostic(`stopped in ${Date.now() - start} ms`);
      // A killed container has 137.
      assert.equal(await inspect(".State.ExitCode"), "0");
      while (!(await stream.read()).done);
    });
  });
}

container("the image with its own command", {
  options: ["--env", "SSE_LOG_LEVEL=info"],
  args: [],
  streams: 9135,
  debug: 9139,
});

// The chart also sets the user. Its liveness probe asks /healthz at the debug port.
container("the image in the Helm chart of Infinite Scale", {
  options: ["--user", "1000:1000", "--env-file", CHART, "--entrypoint", "ocis"],
  args: ["sse", "server"],
  streams: 9939,
  debug: 9135,
});

/** Runs a program of the image, and returns its output. */
const output = (program, ...args) => podman("run", "--rm", "--network", "host", ...LIMITS, "--entrypoint", program, IMAGE, ...args);

describe("the image", () => {
  it("has an SBOM with the crates of the program and the packages of Debian", async () => {
    const sbom = JSON.parse(await output("cat", "/usr/share/doc/ocis-sse/sbom.cdx.json"));
    assert.deepEqual([sbom.bomFormat, sbom.specVersion], ["CycloneDX", "1.5"]);
    const listed = (type) => sbom.components.filter(({ purl }) => purl.startsWith(`pkg:${type}/`));
    const names = (type) => listed(type).map(({ name, version }) => `${name} ${version}`).sort();
    const unique = (text) => [...new Set(text.trim().split("\n"))].sort();
    const installed = await output("dpkg-query", "--show", "--showformat", "${Package} ${Version}\\n");
    assert.deepEqual(names("deb"), unique(installed));
    const tree = ["tree", "--locked", "--package", "ocis-sse", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"];
    const { stdout: crates } = await promisify(execFile)("cargo", tree);
    assert.deepEqual(names("cargo"), unique(crates.replace(/^(\S+) v(\S+).*$/gm, "$1 $2")));
    assert.ok(listed("cargo").every(({ licenses }) => licenses[0].expression.length > 2));
  });

  it("is small", async (test) => {
    const size = async (image) => Number(await podman("image", "inspect", "--format", "{{.Size}}", image)) / 1e6;
    const base = await size(BASE);
    const added = (await size(IMAGE)) - base;
    test.diagnostic(`${added.toFixed(1)} MB above the ${base.toFixed(1)} MB of the base image`);
    assert.ok(added < 50);
  });
});

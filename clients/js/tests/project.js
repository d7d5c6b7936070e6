// A project that has installed the package from its tarball, and has the examples of the README.

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
// Node finds the compiler, Vite and Vue in a folder above it.
export const PROJECT = `${PACKAGE}build/project/`;
export const INSTALLED = `${PROJECT}node_modules/ocis-sse-client/`;

const run = (program, ...args) => execFileSync(program, args, { cwd: PROJECT, encoding: "utf8" });

/** Makes the project, and returns the paths of the package's files. */
export function makeProject() {
  rmSync(PROJECT, { recursive: true, force: true });
  cpSync(`${PACKAGE}tests/consumer`, PROJECT, { recursive: true });
  const packed = JSON.parse(run("npm", "pack", "--json", "--ignore-scripts", PACKAGE));
  const [{ filename, files }] = Array.isArray(packed) ? packed : Object.values(packed);
  run("npm", "install", "--offline", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", `./${filename}`);
  return files.map(({ path }) => path);
}

/** Returns the examples in this section of the README. */
export function examples(section) {
  const readme = readFileSync(`${PACKAGE}README.md`, "utf8");
  const [, text] = readme.split(/^#+ /m).flatMap((part) => (part.startsWith(`${section}\n`) ? ["", part] : []));
  return [...text.matchAll(/```(?:html|js|ts)\n(.*?)```/gs)].map(([, example]) => example);
}

/** Adds a file to the project. */
export function add(name, content) {
  writeFileSync(`${PROJECT}${name}`, content);
}

/** Adds a page with a module, for Vite. */
export function addPage(name, module) {
  add(`${name}.html`, `<!doctype html><title>${name}</title><script type="module" src="./${module}"></script>`);
}

/** Builds the pages into `dist`. */
export function build() {
  run("npx", "vite", "build", "--logLevel", "warn");
}

/** Type-checks the project, and returns what the compiler prints. */
export function check(...options) {
  return spawnSync("npx", ["tsc", ...options], { cwd: PROJECT, encoding: "utf8" }).stdout;
}

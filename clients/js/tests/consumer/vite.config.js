import { readdirSync } from "node:fs";

const pages = readdirSync(".").filter((name) => name.endsWith(".html"));

export default { build: { rolldownOptions: { input: pages } } };

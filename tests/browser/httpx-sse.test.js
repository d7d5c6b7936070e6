import { runPython } from "./fixture/python.js";
import { journey } from "./journey.js";

let client;

journey("httpx-sse", {
  start: async (address, token, ledger) => (client = runPython("httpx_sse", address, token, ledger)),
  stop: () => client.end("SIGKILL"),
});

import { runPython } from "./fixture/python.js";
import { journey } from "./journey.js";

let client;

journey("sseclient-py", {
  start: async (address, token, ledger) => (client = runPython("sseclient", address, token, ledger)),
  stop: () => client.end("SIGKILL"),
});

// The package `eventsource` for Node, which can set headers.

import { EventSource } from "eventsource";
import { journey } from "./journey.js";

let source;

journey("eventsource", {
  start: async (address, token, ledger) => {
    source = new EventSource(`${address}/sse`, {
      fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }),
    });
    source.addEventListener("userlog-notification", (event) => ledger.note(event.data));
  },
  stop: async () => source.close(),
});

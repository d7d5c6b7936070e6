// @microsoft/fetch-event-source, as its documentation shows it.

import { fetchEventSource } from "/node_modules/@microsoft/fetch-event-source/lib/esm/index.js";

export function follow(address, token, note) {
  fetchEventSource(`${address}/sse`, {
    headers: { Authorization: `Bearer ${token}` },
    openWhenHidden: true,
    onmessage: (event) => event.data && note(event.data),
    // An end is no wish of the client's: it comes back.
    onclose() {
      throw new Error("closed");
    },
  });
}

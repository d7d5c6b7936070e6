// @microsoft/fetch-event-source, as in its documentation.

import { fetchEventSource } from "/node_modules/@microsoft/fetch-event-source/lib/esm/index.js";

export function follow(address, token, note) {
  fetchEventSource(`${address}/sse`, {
    headers: { Authorization: `Bearer ${token}` },
    openWhenHidden: true,
    onmessage: (event) => event.data && note(event.data),
    // An error makes the client reconnect after the end of a stream.
    onclose() {
      throw new Error("closed");
    },
  });
}

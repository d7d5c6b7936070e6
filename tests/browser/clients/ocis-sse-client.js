// ocis-sse-client, as in its README.

import { EventStream } from "/ocis-sse-client/index.js";

export function follow(address, token, note, options) {
  window.stream = new EventStream(`${address}/sse`, { token: () => token, ...options });
  window.stream.addEventListener("userlog-notification", (event) => note(event.data));
}

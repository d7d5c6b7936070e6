// The platform's client, as its pages use it.

import { sse, MESSAGE_TYPE } from "/node_modules/@ownclouders/web-client/dist/web-client/sse.js";

let client;

// The client waits 30 to 45 seconds before it reconnects. In these tests it waits until `window.reconnect` is called.
const { setTimeout } = window;
window.setTimeout = (call, time, ...rest) => {
  if (time < 30_000 || time > 45_000) return setTimeout(call, time, ...rest);
  window.reconnect = () => {
    delete window.reconnect;
    call(...rest);
  };
};

export function follow(address, token, note) {
  const headers = {
    Authorization: `Bearer ${token}`,
    "Accept-Language": "en",
    "X-Request-ID": crypto.randomUUID(),
    "X-Requested-With": "XMLHttpRequest",
  };
  client = sse(address, { headers });
  client.addEventListener(MESSAGE_TYPE.NOTIFICATION, (event) => note(event.data));
}

export function changeLanguage(language) {
  client.updateLanguage(language);
}

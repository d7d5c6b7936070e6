// The platform's client, as its pages use it.

import { sse, MESSAGE_TYPE } from "/node_modules/@ownclouders/web-client/dist/web-client/sse.js";

let client;

export function follow(address, token, note) {
  const headers = {
    Authorization: `Bearer ${token}`,
    "Accept-Language": "en",
    "X-Request-ID": crypto.randomUUID(),
    "X-Requested-With": "XMLHttpRequest",
  };
  client = sse(address, { headers });
  client.onerror = () => (window.waits = true);
  client.addEventListener(MESSAGE_TYPE.NOTIFICATION, (event) => note(event.data));
}

export function changeLanguage(language) {
  client.updateLanguage(language);
}

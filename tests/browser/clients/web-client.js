// The client of Infinite Scale or OpenCloud, as the platform's pages use it.

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

export async function follow(address, token, note, { packageName = "@ownclouders/web-client" }) {
  const { sse, MESSAGE_TYPE } = await import(`/node_modules/${packageName}/dist/web-client/sse.js`);
  const headers = {
    Authorization: `Bearer ${token}`,
    "Accept-Language": "en",
    "X-Request-ID": crypto.randomUUID(),
    "X-Requested-With": "XMLHttpRequest",
  };
  client = sse(address, { headers });
  for (const type of [MESSAGE_TYPE.NOTIFICATION, MESSAGE_TYPE.BACKCHANNEL_LOGOUT]) {
    client.addEventListener(type, (event) => note(event.data));
  }
}

export function changeLanguage(language) {
  client.updateLanguage(language);
}

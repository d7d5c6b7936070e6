// The browser's own EventSource. It can set no header: the token comes in a cookie.

export function follow(address, token, note) {
  document.cookie = `token=${token}`;
  const source = new EventSource(`${address}/sse`, { withCredentials: true });
  source.addEventListener("userlog-notification", (event) => note(event.data));
}

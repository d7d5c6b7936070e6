// The browser's EventSource. It cannot set headers, so the token is in a cookie.

export function follow(address, token, note) {
  document.cookie = `token=${token}`;
  const source = new EventSource(`${address}/sse`, { withCredentials: true });
  source.addEventListener("userlog-notification", (event) => note(event.data));
}

import { Browser } from "./fixture/browser.js";
import { follow } from "./fixture/tab.js";
import { journey } from "./journey.js";

let browser;

journey("a browser's EventSource", {
  prepare: async () => (browser = await Browser.start()),
  settings: () => ({ SSE_TOKEN_COOKIE: "token", SSE_CORS_ALLOW_ORIGINS: browser.origin }),
  start: async (address, token, ledger) => follow(await browser.page(), "event-source", address, token, ledger),
  stop: () => browser.stop(),
});

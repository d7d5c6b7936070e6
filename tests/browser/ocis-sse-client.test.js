import { Browser } from "./fixture/browser.js";
import { follow } from "./fixture/tab.js";
import { journey } from "./journey.js";

let browser;

journey("ocis-sse-client", {
  prepare: async () => (browser = await Browser.start()),
  start: async (address, token, ledger) => follow(await browser.page(), "ocis-sse-client", address, token, ledger),
  stop: () => browser.stop(),
});

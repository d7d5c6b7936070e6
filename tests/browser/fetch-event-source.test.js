import { Browser } from "./fixture/browser.js";
import { follow } from "./fixture/tab.js";
import { journey } from "./journey.js";

let browser;

journey("@microsoft/fetch-event-source", {
  prepare: async () => (browser = await Browser.start()),
  start: async (address, token, ledger) => follow(await browser.page(), "fetch-event-source", address, token, ledger),
  stop: () => browser.stop(),
});

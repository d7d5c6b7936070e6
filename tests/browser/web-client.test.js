import { Browser } from "./fixture/chromium.js";
import { follow } from "./fixture/tab.js";
import { journey } from "./journey.js";

let browser, page;

journey("@ownclouders/web-client", {
  // It sends no Last-Event-ID; the service knows it by its X-Request-ID.
  repeats: true,
  prepare: async () => (browser = await Browser.start()),
  start: async (address, token, ledger) => {
    page = await browser.page();
    await page.clock.install();
    await follow(page, "web-client", address, token, ledger);
  },
  // It waits for 30 to 45 seconds, which pass at once.
  hurry: async () => {
    await page.waitForFunction(() => window.waits);
    await page.evaluate(() => (window.waits = false));
    await page.clock.fastForward(45_000);
  },
  stop: () => browser.stop(),
});

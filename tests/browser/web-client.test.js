import { after, before, beforeEach, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { eventually } from "./fixture/eventually.js";
import { Ledger } from "./fixture/ledger.js";
import { Nats } from "./fixture/nats.js";
import { Platform } from "./fixture/platform.js";
import { Service } from "./fixture/service.js";
import { follow } from "./fixture/tab.js";
import { webClient } from "./fixture/web-client.js";
import { journey } from "./journey.js";

for (const packageName of ["@ownclouders/web-client", "@opencloud-eu/web-client"]) {
  journey(packageName, webClient(packageName));

  describe(`${packageName} in pages of the platform`, () => {
    let browser, context, nats, service, platform;

    before(async () => {
      [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
      service = await Service.start(nats);
      platform = await Platform.start(service);
    });

    after(async () => {
      await browser.stop();
      await platform?.stop();
      await service?.down();
      await nats.stop();
    });

    beforeEach(async () => {
      await context?.close();
      await service.hasStreams(0);
      context = await browser.context();
    });

    /** Opens a tab of a user in the browser that all of them share. */
    async function open(user) {
      const [page, ledger] = [await context.newPage(), new Ledger()];
      await page.goto(platform.address);
      await follow(page, "web-client", platform.address, platform.signIn(user), ledger, { packageName });
      return { page, ledger };
    }

    // The client reuses the controller with which it has aborted its first stream, so it never closes another one.
    it("leaves a stream open after two changes of language, and the service ends it", async () => {
      const { page, ledger } = await open("einstein");
      await service.hasStreams(1);
      const replaced = 'sse_connections_closed_total{reason="replaced"}';
      for (const [language, greeting, ended] of [["fr", "Bonjour", 0], ["de", "Hallo", 1]]) {
        const requests = platform.paths.length;
        await page.evaluate(
          async (language) => (await import("/clients/web-client.js")).changeLanguage(language),
          language,
        );
        await eventually("it connects again", () => platform.paths.length > requests);
        await eventually("a stream is replaced", async () => (await service.metric(replaced)) === ended);
        await service.hasStreams(1);
        await nats.publish(["einstein"], "userlog-notification", "Hello", { fr: "Bonjour", de: "Hallo" });
        await ledger.has(greeting);
      }
    });

    it("gets only the events of its own user, with two users in two windows", async () => {
      const [einstein, marie] = [await open("einstein"), await open("marie")];
      await service.hasStreams(2);
      await nats.publish(["einstein"], "userlog-notification", "for Einstein");
      await nats.publish(["marie"], "userlog-notification", "for Marie");
      await nats.publish(["einstein", "marie"], "userlog-notification", "for both");
      await einstein.ledger.has("for Einstein", "for both");
      await marie.ledger.has("for Marie", "for both");
    });

    it("is told in both tabs when the user logs out in one of them", async () => {
      const [first, second, marie] = [await open("einstein"), await open("einstein"), await open("marie")];
      await service.hasStreams(3);
      const logout = JSON.stringify({ userid: "einstein", timestamp: "seconds:1795000000" });
      platform.signOut("einstein");
      await nats.publish(["einstein"], "backchannel-logout", logout);
      for (const { page, ledger } of [first, second]) {
        await ledger.has(logout);
        // A page that does not react tries again, and is rejected.
        for (let attempt = 0; attempt < 2; attempt++) {
          await page.waitForFunction(() => window.reconnect);
          await page.evaluate(() => window.reconnect());
        }
      }
      await service.hasStreams(1);
      await nats.publish(["einstein", "marie"], "userlog-notification", "after the logout");
      await marie.ledger.has("after the logout");
    });
  });
}

// Twelve tabs of one browser share one connection with HTTP/1.1, which allows six connections.

import { after, before, describe, it } from "node:test";
import { Browser } from "./fixture/browser.js";
import { follow } from "./fixture/tab.js";
import { Ledger } from "./fixture/ledger.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";

const TABS = 12;

function twelveTabs(name, without) {
  describe(name, () => {
    const tabs = [];
    let browser, context, nats, service, address;

    before(async () => {
      [browser, nats] = await Promise.all([Browser.start(), Nats.start()]);
      service = await Service.start(nats);
      address = `http://127.0.0.1:${service.port}`;
      context = await browser.context();
    });

    after(async () => {
      await browser.stop();
      await service?.down();
      await nats.stop();
    });

    const open = async () => {
      const tab = { page: await browser.page(context), ledger: new Ledger() };
      await tab.page.evaluate((names) => names.forEach((name) => delete window[name]), without);
      await follow(tab.page, "ocis-sse-client", address, token("einstein"), tab.ledger);
      await tab.page.waitForFunction(() => window.stream.readyState === window.stream.OPEN);
      tabs.push(tab);
    };
    const publish = (content) => nats.publish(["einstein"], "userlog-notification", content);
    const allHave = (...contents) => Promise.all(tabs.map(({ ledger }) => ledger.has(...contents)));

    it("share one connection, and each gets each event once", async () => {
      for (let tab = 0; tab < TABS; tab++) await open();
      await publish("hello");
      await allHave("hello");
      await service.hasStreams(1);
    });

    it("get each event once when the first tab closes", async () => {
      const [first] = tabs.splice(0, 1);
      const closed = first.page.close();
      for (let event = 0; event < 20; event++) await publish(`while it closes ${event}`);
      await closed;
      await publish("afterwards");
      await allHave(...Array.from({ length: 20 }, (_, event) => `while it closes ${event}`), "afterwards");
      await service.hasStreams(1);
    });

    it("remove a duplicate, as during a takeover", async () => {
      await tabs[0].page.evaluate((channel) => {
        const other = new BroadcastChannel(channel);
        const block = { type: "userlog-notification", data: "sent twice", id: "1-1" };
        for (let time = 0; time < 2; time++) other.postMessage({ to: "all", kind: "block", block });
      }, `ocis-sse-client ${address}/sse `);
      await allHave("sent twice");
      await publish("after it");
      await allHave("after it");
    });

    it("continue when a tab closes its stream", async () => {
      const [first] = tabs.splice(0, 1);
      await first.page.evaluate(() => window.stream.close());
      await publish("without it");
      await allHave("without it");
      await service.hasStreams(1);
    });

    it("miss nothing during a restart of the service", async () => {
      await service.down();
      await publish("while it was down");
      await service.up();
      await allHave("while it was down");
      await service.hasStreams(1);
    });

    it("leave no connection behind", async () => {
      await Promise.all(tabs.splice(1).map(({ page }) => page.close()));
      await publish("for the last one");
      await allHave("for the last one");
      await tabs[0].page.evaluate(() => window.stream.close());
      await service.hasStreams(0);
    });
  });
}

twelveTabs("twelve tabs with a shared worker", []);
twelveTabs("twelve tabs without one, with locks", ["SharedWorker"]);

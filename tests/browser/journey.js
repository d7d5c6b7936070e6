// What every client goes through: it receives, its user changes the language, its line is cut, the service restarts, the bus goes
// away.

import { after, before, describe, it } from "node:test";
import { Ledger } from "./fixture/ledger.js";
import { Line } from "./fixture/line.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";

/**
 * `client.start(address, token, ledger)` opens a stream whose events it notes in the ledger. `hurry` spares us the time that a
 * client waits before it comes back; `repeats` says that it may be given an event again, because it cannot say what it had;
 * `settings` are those of the service; `prepare` comes before everything, `stop` after it.
 */
export function journey(name, client) {
  describe(name, () => {
    const ledger = new Ledger(client);
    let nats, service, line;

    before(async () => {
      await client.prepare?.();
      nats = await Nats.start();
      service = await Service.start(nats, client.settings?.());
      line = await Line.to(service.port);
      await client.start(line.address, token("einstein"), ledger);
      await service.hasStreams(1);
    });

    after(async () => {
      await client.stop();
      await service?.down();
      await line?.cut();
      await nats?.stop();
    });

    const publish = (content) => nats.publish(["einstein"], "userlog-notification", content);

    it("receives", async () => {
      await publish("first");
      await nats.publish(["marie"], "userlog-notification", "for somebody else");
      await publish("sécond");
      await ledger.has("first", "sécond");
    });

    it("reads the language that its user has chosen, from the next event on", async () => {
      const greets = async (greeting) => {
        await nats.publish(["einstein"], "userlog-notification", "Hello", { de: "Hallo", fr: "Bonjour" });
        // The language counts in which the event is written: the next change waits until it is.
        await ledger.has(greeting);
      };
      await greets("Hello");
      await service.chooseLanguage("einstein", "de-AT");
      await greets("Hallo");
      await nats.setLanguage("einstein", "fr");
      await greets("Bonjour");
      await service.forgetLanguage("einstein");
      await nats.publish(["einstein"], "userlog-notification", "Goodbye", { de: "Tschüss" });
      await ledger.has("Goodbye");
    });

    it("continues when its line was cut", async () => {
      await line.cut();
      await service.hasStreams(0);
      await publish("while it was cut off");
      await line.mend();
      await client.hurry?.();
      await ledger.has("while it was cut off");
    });

    it("continues when the service was stopped and started", async () => {
      await service.down();
      await publish("while the service was down");
      await service.up();
      await client.hurry?.();
      await ledger.has("while the service was down");
    });

    // Where a client stood that cannot say so is kept on NATS.
    it("continues when NATS was restarted before the service", async () => {
      await nats.restart();
      await service.isReady();
      await service.down();
      await publish("after NATS was restarted");
      await service.up();
      await client.hurry?.();
      await ledger.has("after NATS was restarted");
    });

    it("continues when NATS was restarted while the service was down", async () => {
      await service.down();
      await nats.restart();
      await publish("while both were down");
      await service.up();
      await client.hurry?.();
      await ledger.has("while both were down");
    });

    // Of one that is killed, nobody knows where a client stood that cannot say so itself.
    const canSayWhatItHad = !client.repeats;
    if (canSayWhatItHad) {
      it("continues when the service was killed and started", async () => {
        await service.down("SIGKILL");
        await publish("while it was dead");
        await service.up();
        await ledger.has("while it was dead");
      });
    }

    it("stays when the bus is killed and comes back", async () => {
      await nats.restart();
      await publish("after the bus was down");
      await ledger.has("after the bus was down");
    });
  });
}

// The scenario that every client passes: events, a change of language, a cut connection, and restarts of the service and of NATS.

import { after, before, describe, it } from "node:test";
import { DirectStreams } from "./fixture/direct-streams.js";
import { Ledger } from "./fixture/ledger.js";
import { Link } from "./fixture/link.js";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";

/**
 * Runs the scenario for `client`.
 *
 * `client.start(address, token, ledger)` opens a stream and records its events in the ledger. Optional members: `skipWait` skips the
 * time before the client reconnects; `mayRepeat` is true if the client cannot send its position, so that events may repeat;
 * `settings` returns settings of the service; `prepare` runs first, `stop` last.
 *
 * With an `edge`, the kind of a reverse proxy, it connects the client's streams directly to the service.
 */
export function journey(name, client, edge) {
  describe(name, () => {
    const ledger = new Ledger(client);
    let nats, service, link, directStreams;

    before(async () => {
      await client.prepare?.();
      nats = await Nats.start();
      service = await Service.start(nats, { ...client.settings?.(), ...(edge && DirectStreams.SETTINGS) });
      if (edge) directStreams = await DirectStreams.start(edge, service);
      link = await Link.to(edge ? directStreams.edge.port : service.port);
      const [address, bearer] = edge
        ? [link.address.replace("http:", "https:"), directStreams.platform.signIn("einstein")]
        : [link.address, token("einstein")];
      await client.start(address, bearer, ledger);
      await service.hasStreams(1);
    });

    after(async () => {
      await client.stop();
      await directStreams?.stop();
      await service?.down();
      await link?.cut();
      await nats?.stop();
    });

    const publish = (content) => nats.publish(["einstein"], "userlog-notification", content);

    it("receives events", async () => {
      await publish("first");
      await nats.publish(["marie"], "userlog-notification", "for another user");
      await publish("sécond");
      await ledger.has("first", "sécond");
    });

    it("gets the chosen language from the next event on", async () => {
      const greets = async (greeting) => {
        await nats.publish(["einstein"], "userlog-notification", "Hello", { de: "Hallo", fr: "Bonjour" });
        // An event is translated when it is written, so the next change waits until then.
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

    it("resumes after its connection was cut", async () => {
      await link.cut();
      await service.hasStreams(0);
      await publish("while it was cut off");
      await link.restore();
      await client.skipWait?.();
      await ledger.has("while it was cut off");
    });

    it("resumes after a restart of the service", async () => {
      await service.down();
      await publish("while the service was down");
      await service.up();
      await client.skipWait?.();
      await ledger.has("while the service was down");
    });

    // The position of a client that cannot send it is kept in NATS.
    it("resumes after a restart of NATS before the service", async () => {
      await nats.restart();
      await service.isReady();
      await service.down();
      await publish("after NATS was restarted");
      await service.up();
      await client.skipWait?.();
      await ledger.has("after NATS was restarted");
    });

    it("resumes after a restart of NATS without the service", async () => {
      await service.down();
      await nats.restart();
      await publish("while both were down");
      await service.up();
      await client.skipWait?.();
      await ledger.has("while both were down");
    });

    // A killed service loses the position of a client that cannot send it.
    const sendsItsPosition = !client.mayRepeat;
    if (sendsItsPosition) {
      it("resumes after the service was killed", async () => {
        await service.down("SIGKILL");
        await publish("while it was dead");
        await service.up();
        await ledger.has("while it was dead");
      });
    }

    it("stays open during a NATS outage", async () => {
      await nats.restart();
      await publish("after NATS was down");
      await ledger.has("after NATS was down");
    });
  });
}

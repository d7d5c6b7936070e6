// The catalogue of events, openapi/events.json, and what is generated from it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import specs from "@asyncapi/specs";
import { MESSAGE_TYPE } from "@ownclouders/web-client/sse";
import Ajv from "ajv";
import formats from "ajv-formats";
import { Nats } from "./fixture/nats.js";
import { Service, token } from "./fixture/service.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const read = (path) => readFileSync(`${ROOT}${path}`, "utf8");
const catalogue = JSON.parse(read("openapi/events.json"));
const { messages, tags } = catalogue.components;

// AsyncAPI's schema and the catalogue have keywords that are not JSON Schema's.
const ajv = formats(new Ajv({ strict: false, allErrors: true }));
ajv.addSchema(catalogue, "catalogue");

/** Asserts that `payload` is valid for events of `type`. */
function validate(type, payload) {
  const valid = ajv.validate({ $ref: `catalogue#/components/messages/${type}/payload` }, payload);
  assert.ok(valid, `${type}: ${ajv.errorsText()} in ${JSON.stringify(payload)}`);
}

/** Returns the captured events of types in the catalogue. */
function captured() {
  const lines = ["session", "main-queue", "in-languages"].flatMap((name) => read(`tests/wire/${name}.jsonl`).trim().split("\n"));
  const decode = (text) => JSON.parse(Buffer.from(text, "base64").toString());
  return lines
    .map((line) => JSON.parse(line).data)
    .map((data) => (typeof data === "string" ? JSON.parse(data) : data))
    .filter(({ Metadata }) => Metadata.eventtype === "events.SendSSE")
    .map(({ Payload }) => decode(Payload))
    .filter(({ Type }) => Type in messages)
    .map(({ Type, Message }) => ({ type: Type, payload: decode(Message) }));
}

/** Returns the types that the program with this tag publishes. */
function sentBy(tag) {
  return Object.keys(messages).filter((type) => messages[type].tags.some(({ $ref }) => $ref === `#/components/tags/${tag}`));
}

describe("the catalogue of events", () => {
  it("is valid AsyncAPI", () => {
    assert.ok(ajv.validate(specs.schemasWithoutId[catalogue.asyncapi], catalogue), ajv.errorsText());
  });

  it("names each message as its event type, and lists it in the channel", () => {
    const listed = Object.keys(messages).map((type) => [type, { $ref: `#/components/messages/${type}` }]);
    assert.deepEqual(catalogue.channels.notifications.messages, Object.fromEntries(listed));
    for (const [type, { name, tags: links }] of Object.entries(messages)) {
      assert.equal(name, type);
      for (const { $ref } of links) assert.ok($ref.split("/").pop() in tags, `${type}: ${$ref}`);
    }
  });

  it("has the version of the service", () => {
    const { version } = JSON.parse(read("openapi/ocis-sse.json")).info;
    assert.equal(catalogue.info.version, version);
  });

  it("has the types that Infinite Scale's web client knows", () => {
    assert.deepEqual(sentBy("infinite-scale").sort(), Object.values(MESSAGE_TYPE).sort());
  });

  it("accepts the captured events", () => {
    const events = captured();
    assert.ok(events.length > 30, `${events.length} events`);
    for (const { type, payload } of events) validate(type, payload);
  });

  it("rejects a payload without a field, and one with a value of another type", () => {
    const { payload } = messages["share-created"].examples[0];
    assert.throws(() => validate("share-created", { ...payload, itemid: undefined }), /itemid/);
    assert.throws(() => validate("share-created", { ...payload, affecteduserids: "einstein" }), /affecteduserids/);
  });

  it("has a captured example of each captured type", () => {
    const events = captured();
    const examples = Object.values(messages).flatMap(({ name, examples = [] }) =>
      examples.map(({ payload }) => ({ type: name, payload })),
    );
    const fromPlatform = examples.filter(({ type }) => type !== "stream-gap");
    assert.deepEqual(new Set(fromPlatform.map(({ type }) => type)), new Set(events.map(({ type }) => type)));
    for (const example of fromPlatform) {
      const found = events.some((event) => JSON.stringify(event) === JSON.stringify(example));
      assert.ok(found, `${example.type}: the example was not captured`);
    }
  });
});

describe("a stream-gap event", () => {
  const { payload: example } = messages["stream-gap"].examples[0];
  let nats, service;

  before(async () => {
    nats = await Nats.start();
    service = await Service.start(nats);
  });

  after(async () => {
    await service?.down();
    await nats.stop();
  });

  it("is the example in the catalogue", async () => {
    const headers = { "x-access-token": token("einstein"), "last-event-id": example.last_event_id };
    const { body } = await fetch(`http://127.0.0.1:${service.port}/sse`, { headers });
    let text = "";
    for await (const piece of body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (/event: .*\n\n/.test(text)) break;
    }
    const [, data, type] = /^data: (.*)\nevent: (.*)$/m.exec(text);
    assert.equal(type, "stream-gap");
    validate(type, JSON.parse(data));
    assert.deepEqual(JSON.parse(data), example);
  });
});

describe("what is generated from the catalogue", () => {
  for (const [output, path] of [["types", "clients/js/src/events.ts"], ["page", "docs/events.md"]]) {
    it(`${path} is not stale`, () => {
      const expected = execFileSync(`${ROOT}scripts/event-catalogue`, [output], { encoding: "utf8" });
      assert.equal(read(path), expected, `${path} is stale; mend it with: scripts/event-catalogue ${output} > ${path}`);
    });
  }
});

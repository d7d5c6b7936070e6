// The types of the built package, as its users see them. The compiler is the test: it fails at a line without the expected error.

import { type EventPayloads, EventStream, type KnownEvent } from "ocis-sse-client";

const stream = new EventStream("/sse");

stream.addEventListener("item-renamed", (event) => {
  const type: "item-renamed" = event.type;
  const item: EventPayloads["item-renamed"] = JSON.parse(event.data);
  const same: EventPayloads[typeof event.type] = item;
  const id: string = same.itemid;
  // @ts-expect-error The data is text until it is parsed.
  event.data.itemid;
  // @ts-expect-error An item has no such field.
  item.path;
  // @ts-expect-error Most events affect no users.
  item.affecteduserids.length;
  return [type, id];
});

stream.addEventListener("stream-gap", (event) => {
  const { last_event_id, reason }: EventPayloads[typeof event.type] = JSON.parse(event.data);
  const id: string | null = last_event_id;
  // @ts-expect-error There is no such reason.
  return reason === "restart" ? id : undefined;
});

// One listener for several types.
function onShare(event: KnownEvent<"share-created" | "share-removed">): string[] {
  const { affecteduserids }: EventPayloads[typeof event.type] = JSON.parse(event.data);
  return affecteduserids ?? [];
}
stream.addEventListener("share-created", onShare);
stream.addEventListener("share-removed", onShare);
// @ts-expect-error The listener does not expect this type.
stream.addEventListener("share-updated", onShare);

// The platform may publish types that are not in the catalogue.
stream.addEventListener("a-new-type", (event) => event.data.length);
stream.addEventListener("error", (event) => event.detail.status);
// @ts-expect-error An event without data.
stream.addEventListener("languagechange", (event) => event.data);

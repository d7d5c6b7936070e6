export type * from "./events.js";
export type { EventStreamEventMap, EventStreamOptions, KnownEvent, StreamErrorEvent } from "./stream.js";
export { EventStream } from "./stream.js";

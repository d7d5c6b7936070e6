export type * from "./events.js";
export { EventStream } from "./stream.js";
export type { EventStreamEventMap, EventStreamOptions, KnownEvent, StreamErrorEvent } from "./stream.js";

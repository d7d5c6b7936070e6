export { EventStream } from "./stream.js";
export type { EventStreamEventMap, EventStreamOptions, StreamErrorEvent } from "./stream.js";

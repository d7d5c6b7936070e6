import { directStreams } from "./direct-streams.js";

directStreams("nginx");

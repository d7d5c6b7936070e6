import { directStreams } from "./direct-streams.js";

directStreams("caddy");

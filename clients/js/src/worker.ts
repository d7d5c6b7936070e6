// The shared worker that holds the connection. Its name is that of the channel.

import { host } from "./host.js";

host(self.name);

// The shared worker that holds the connection. Its name is the name of the channel.

import { host } from "./host.js";

host(self.name);

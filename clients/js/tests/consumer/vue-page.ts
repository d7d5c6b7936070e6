// A page with the composable of the README.

import { createApp, h } from "vue";
import { useNotifications } from "./useNotifications.js";

declare function accessToken(): Promise<string>;

createApp({
  setup() {
    const { notifications, connected } = useNotifications("einstein", accessToken);
    const list = () => notifications.value.map(({ subject }) => h("li", subject));
    return () => h("ul", { class: connected.value ? "connected" : "" }, list());
  },
}).mount("body");

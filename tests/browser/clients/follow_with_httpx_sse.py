"""httpx-sse, as in its documentation. The caller has to reconnect."""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse

address, token = sys.argv[1:]
last_event_id, wait = "", 0.1
with httpx.Client(timeout=None) as client:
    while True:
        headers = {"Authorization": f"Bearer {token}"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        try:
            with connect_sse(client, "GET", f"{address}/sse", headers=headers) as source:
                for event in source.iter_sse():
                    last_event_id = event.id
                    wait = wait if event.retry is None else event.retry / 1000
                    if event.data:
                        print(json.dumps({"content": event.data}), flush=True)
        except httpx.TransportError:
            pass
        time.sleep(wait)

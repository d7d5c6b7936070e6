"""sseclient-py over requests. It reads one response; the caller has to reconnect."""

import json
import sys
import time

import requests
import sseclient

address, token = sys.argv[1:]
headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
while True:
    try:
        with requests.get(f"{address}/sse", headers=headers, stream=True) as response:
            for event in sseclient.SSEClient(response).events():
                if event.id:
                    headers["Last-Event-ID"] = event.id
                print(json.dumps({"content": event.data}), flush=True)
    except requests.RequestException:
        pass
    time.sleep(0.1)

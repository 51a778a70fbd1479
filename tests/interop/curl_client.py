"""libcurl's WebSocket (as curl_cffi bundles it), unmodified."""
import json
import os

from curl_cffi import CurlWsFlag, WebSocket

url = os.environ["SHROUD_URL"].replace("http://", "ws://")
ws = WebSocket()
ws.connect(url)
ws.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "net_version", "params": []}).encode(), CurlWsFlag.TEXT)
answer, flags = ws.recv()
assert json.loads(answer)["result"] == os.environ["SHROUD_CHAIN"], answer
assert flags & CurlWsFlag.TEXT
ws.close()
print("libcurl ok")

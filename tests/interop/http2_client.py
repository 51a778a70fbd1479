"""httpx (with h2) against a node over TLS: URL, then the PEM file of its certificate."""
import asyncio
import ssl
import sys

import httpx

url, pem = sys.argv[1:3]
trust = ssl.create_default_context(cafile=pem)
call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}


async def main():
    for http2, version in [(True, "HTTP/2"), (False, "HTTP/1.1")]:
        async with httpx.AsyncClient(http1=not http2, http2=http2, verify=trust, timeout=30) as client:
            answers = await asyncio.gather(*(client.post(url, json=call) for _ in range(50)))
            for answer in answers:
                assert answer.status_code == 200 and answer.http_version == version, answer
                assert answer.json()["result"].startswith("0x"), answer.text
            missing = await client.get(url + "/none")
            assert missing.status_code == 404, missing


asyncio.run(main())
print("ok")

"""python's websockets over TLS, unmodified: the secure URL, then the PEM file."""
import asyncio
import ssl
import sys

from websockets.asyncio.client import connect

url, pem = sys.argv[1].replace("https://", "wss://") + "/ws", sys.argv[2]
trust = ssl.create_default_context(cafile=pem)


async def main():
    for compression in ["deflate", None]:
        async with connect(url, ssl=trust, compression=compression, max_size=None) as ws:
            for message in ["häßlich" * 1000, b"\x00\xff" * 300_000, "", b""]:
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(iter(["in ", "several ", "pieces"]))
            assert await ws.recv() == "in several pieces"
            await asyncio.wait_for(await ws.ping(), 30)
            await ws.close(4000, "enough")
            assert ws.close_code == 4000


asyncio.run(main())
print("ok")

"""python's websockets, unmodified: as a client of the node, and as the server that `shroud ws` talks to."""
import asyncio
import json
import os
import subprocess

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

URL = os.environ["SHROUD_URL"].replace("http://", "ws://")
CHAIN = hex(int(os.environ["SHROUD_CHAIN"]))


def call(number, method, *params):
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


async def ask(ws, text):
    await ws.send(text)
    return json.loads(await ws.recv())


async def client(compression):
    async with connect(URL, compression=compression) as ws:
        names = [extension.name for extension in ws.protocol.extensions]
        assert names == (["permessage-deflate"] if compression else []), names
        assert (await ask(ws, call(1, "eth_chainId")))["result"] == CHAIN
        # A fragmented message, in frames of one character.
        await ws.send(iter(call(2, "net_version")))
        assert json.loads(await ws.recv())["result"] == os.environ["SHROUD_CHAIN"]
        await asyncio.wait_for(await ws.ping(b"are you there"), 10)
        batch = "[" + ",".join(call(n, "eth_chainId") for n in range(90)) + "]"
        answers = await ask(ws, batch)
        assert [answer["id"] for answer in answers] == list(range(90))
        # Many at once: all are answered, in whatever order.
        for n in range(200):
            await ws.send(call(n, "eth_blockNumber"))
        seen = {json.loads(await ws.recv())["id"] for _ in range(200)}
        assert seen == set(range(200))
        head = (await ask(ws, call(3, "eth_subscribe", "newHeads")))["result"]
        assert (await ask(ws, call(4, "eth_unsubscribe", head)))["result"] is True
        assert (await ask(ws, call(5, "eth_unsubscribe", head)))["error"]["code"] == -32602
        await ws.close(4000, "enough")
        assert ws.close_code == 4000, ws.close_code


async def too_long():
    # Forty kilobytes on the wire, forty megabytes behind them.
    async with connect(URL, compression="deflate") as ws:
        try:
            await ws.send("x" * (40 << 20))
            await ws.recv()
        except websockets.ConnectionClosedError as error:
            assert error.rcvd.code == 1009, error
        else:
            raise AssertionError("forty megabytes were accepted")


async def not_utf8():
    async with connect(URL, compression=None) as ws:
        await ws.send(b"\xc0\xaf", text=True)
        try:
            await ws.recv()
        except websockets.ConnectionClosedError as error:
            assert error.rcvd.code == 1007, error
        else:
            raise AssertionError("a text that is not UTF-8 was accepted")


async def echo(ws):
    async for message in ws:
        # With a ping that must be answered, and in fragments.
        await asyncio.wait_for(await ws.ping(), 10)
        await ws.send(message[i : i + 1000] for i in range(0, max(len(message), 1), 1000))


async def server():
    for compression in ["deflate", None]:
        async with serve(echo, "127.0.0.1", 0, compression=compression) as listener:
            port = listener.sockets[0].getsockname()[1]
            lines = ["hello", "häßlich", "x" * 100_000]
            process = await asyncio.create_subprocess_exec(
                os.environ["SHROUD_BIN"], "ws", f"ws://127.0.0.1:{port}/", "--receive", str(len(lines)),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            out, _ = await asyncio.wait_for(process.communicate("\n".join(lines).encode() + b"\n"), 60)
            assert process.returncode == 0 and out.decode().splitlines() == lines, (process.returncode, out[:200])


async def main():
    await client("deflate")
    await client(None)
    await too_long()
    await not_utf8()
    await server()


asyncio.run(main())
print("websockets ok")

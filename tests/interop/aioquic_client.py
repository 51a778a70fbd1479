"""aioquic, unmodified, as an HTTP/3 client: PORT, the PEM file of the certificate, and which part."""
import asyncio
import socket
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

PORT, PEM, PART = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Client(QuicConnectionProtocol):
    """One connection: each request waits for its whole answer."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.http = H3Connection(self._quic)
        self.waiting = {}

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            for future, *_ in self.waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError(f"{event.error_code}: {event.reason_phrase}"))
        if isinstance(event, StreamReset) and event.stream_id in self.waiting:
            self.waiting.pop(event.stream_id)[0].set_exception(ConnectionError(f"reset: {event.error_code}"))
        for event in self.http.handle_event(event):
            future, headers, body = self.waiting.get(event.stream_id, (None, {}, bytearray()))
            if isinstance(event, HeadersReceived):
                headers.update(event.headers)
            elif isinstance(event, DataReceived):
                body.extend(event.data)
            if future and getattr(event, "stream_ended", False):
                self.waiting.pop(event.stream_id)
                future.set_result((int(headers[b":status"]), headers, bytes(body)))

    async def ask(self, path, body=None, sending=None):
        """GET, or POST with a body; `sending` is called once it has been handed over."""
        stream = self._quic.get_next_available_stream_id()
        future = asyncio.get_running_loop().create_future()
        self.waiting[stream] = (future, {}, bytearray())
        method = b"GET" if body is None else b"POST"
        headers = [
            (b":method", method),
            (b":scheme", b"https"),
            (b":authority", f"127.0.0.1:{PORT}".encode()),
            (b":path", path.encode()),
        ]
        self.http.send_headers(stream, headers, end_stream=body is None)
        if body is not None:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        if sending:
            sending()
        return await future


def configuration(**more):
    made = QuicConfiguration(is_client=True, alpn_protocols=["h3"], **more)
    made.load_verify_locations(PEM)
    return made


def open_client(config=None, **more):
    return connect("127.0.0.1", PORT, configuration=config or configuration(), create_protocol=Client, **more)


async def until(condition):
    """What the server sends by itself may come after the answer: waits for it, not for ever."""
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.05)


async def requests():
    async with open_client() as client:
        status, headers, body = await client.ask("/plain")
        assert (status, body) == (200, b"Hello, world!"), (status, body)
        assert headers[b"content-length"] == b"13" and b"date" in headers, headers
        assert (await client.ask("/version"))[2] == b"HTTP/3.0"
        assert (await client.ask("/none"))[0] == 404
        assert (await client.ask("/echo", b""))[2] == b""
        assert (await client.ask("/plain", b"posted"))[0] == 405


async def bodies():
    async with open_client() as client:
        # Beyond every window of both sides.
        sent = bytes(range(256)) * 20_000
        for path in ["/echo", "/stream"]:
            status, _, body = await client.ask(path, sent)
            assert status == 200 and body == sent, (path, status, len(body))
        assert len((await client.ask("/big"))[2]) == 8 << 20


async def many():
    async with open_client() as client:
        answers = await asyncio.gather(*(client.ask("/echo", b"%d" % n * 100) for n in range(90)))
        for n, (status, _, body) in enumerate(answers):
            assert status == 200 and body == b"%d" % n * 100
        # More than may be open at a time, one after the other.
        for n in range(300):
            assert (await client.ask("/plain"))[0] == 200, n


async def early():
    tickets = []
    async with open_client(session_ticket_handler=tickets.append) as client:
        await client.ask("/plain")
        await client.ping()
        await until(lambda: len(tickets) == 2)
    assert len(tickets) == 2 and all(ticket.max_early_data_size == 0xFFFFFFFF for ticket in tickets), tickets
    # What is not safe is refused, unless the handshake is over by the time that it is looked at (RFC 8470, 3).
    for path, body, wanted in [("/plain", None, (200,)), ("/echo", b"twice?", (425, 200))]:
        config = configuration(session_ticket=tickets.pop())
        async with open_client(config, wait_connected=False) as client:
            status, _, answer = await client.ask(path, body)
            assert status in wanted, (path, status, answer)
            assert client._quic.tls.early_data_accepted and client._quic.tls.session_resumed
            # Once the handshake is over it may be asked again.
            assert body is None or (await client.ask(path, body))[2] == body


async def migration():
    async with open_client() as client:
        assert (await client.ask("/plain"))[0] == 200
        for _ in range(4):
            # In the middle of a body.
            moved = asyncio.create_task(client.ask("/stream", b"x" * 2_000_000))
            await asyncio.sleep(0)
            old = client._transport
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(("::", 0))
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: client, sock=sock)
            assert client._transport is not old
            client.change_connection_id()
            status, _, body = await moved
            assert status == 200 and len(body) == 2_000_000
            old.close()


async def key_update():
    async with open_client() as client:
        for n in range(5):
            assert (await client.ask("/plain"))[0] == 200
            client.request_key_update()
            assert len((await client.ask("/echo", b"y" * 50_000))[2]) == 50_000


async def versions():
    config = configuration(supported_versions=[0x1A2A3A4A, 1], original_version=0x1A2A3A4A)
    async with open_client(config) as client:
        assert client._quic._version_negotiated_incompatible
        assert (await client.ask("/plain"))[0] == 200


async def retry():
    tokens = []
    async with open_client(token_handler=tokens.append) as client:
        assert client._quic._retry_source_connection_id is not None
        assert (await client.ask("/plain"))[0] == 200
        await client.ping()
        await until(lambda: tokens)
    assert tokens, "no token for the next connection"


async def lost():
    """Every seventh datagram of the client is lost, and every eleventh cut short."""
    async with open_client() as client:
        whole, count = client._transport.sendto, 0

        def sendto(data, address):
            nonlocal count
            count += 1
            if count % 11 == 0:
                whole(data[: len(data) // 2], address)
            elif count % 7:
                whole(data, address)

        client._transport.sendto = sendto
        sent = bytes(range(256)) * 2000
        for _ in range(3):
            status, _, body = await client.ask("/echo", sent)
            assert status == 200 and body == sent
        client._transport.sendto = whole


async def main():
    await asyncio.wait_for(globals()[PART](), 100)


asyncio.run(main())
print("ok")

"""aioquic's HTTP/3 client, unmodified, against a server of this house: http3_client.py PORT CERTIFICATE_FILE RETRY(0|1)

GET, POST, 10 MB, 20 requests at once, 0-RTT, a change of address, version negotiation, Retry.
"""
import asyncio
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

PORT, CERTIFICATE, RETRY = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "1"


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.waiting = {}

    def quic_event_received(self, event):
        for event in self.http.handle_event(event):
            if not isinstance(event, (HeadersReceived, DataReceived)):
                continue
            answer = self.waiting[event.stream_id]
            if isinstance(event, HeadersReceived):
                answer["headers"] = dict(event.headers)
            else:
                answer["body"] += event.data
            if event.stream_ended:
                answer["done"].set_result(None)

    async def ask(self, path, body=None):
        stream = self._quic.get_next_available_stream_id()
        answer = {"body": b"", "done": asyncio.get_running_loop().create_future()}
        self.waiting[stream] = answer
        headers = [
            (b":method", b"POST" if body is not None else b"GET"),
            (b":scheme", b"https"),
            (b":authority", f"localhost:{PORT}".encode()),
            (b":path", path.encode()),
        ]
        self.http.send_headers(stream, headers, end_stream=body is None)
        if body is not None:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        await asyncio.wait_for(answer["done"], 20)
        assert answer["headers"][b":status"] == b"200", answer["headers"]
        return answer["body"]


def configuration(**more):
    made = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost", **more)
    made.load_verify_locations(CERTIFICATE)
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def session(made, **more):
    return connect("127.0.0.1", PORT, configuration=made, create_protocol=Client, **more)


async def main():
    passed = []
    tickets = []
    async with session(configuration(), session_ticket_handler=tickets.append) as client:
        assert await client.ask("/") == b"hello over HTTP/3"
        passed.append("GET")
        assert await client.ask("/echo", b"x" * 100_000) == b"x" * 100_000
        passed.append("POST")
        assert await client.ask("/bytes/10000000") == b"x" * 10_000_000
        passed.append("10 MB")
        await asyncio.gather(*(client.ask(f"/bytes/{n}") for n in range(20)))
        passed.append("20 at once")
        # A new socket, and so a new port, under a connection that goes on.
        loop = asyncio.get_running_loop()
        old = client._transport
        await loop.create_datagram_endpoint(lambda: client, local_addr=("::", 0))
        client._quic.change_connection_id()
        assert client._transport is not old
        assert await client.ask("/bytes/200000") == b"x" * 200_000
        old.close()
        passed.append("migration")
        if RETRY:
            assert client._quic._retry_source_connection_id is not None
            passed.append("retry")
        for _ in range(50):
            if tickets:
                break
            await asyncio.sleep(0.02)
    assert tickets, "the server gave no ticket"
    async with session(configuration(session_ticket=tickets[-1]), wait_connected=False) as client:
        assert await client.ask("/") == b"hello over HTTP/3"
        assert client._quic.tls.session_resumed and client._quic.tls.early_data_accepted
        passed.append("0-RTT")
    # A version that nobody speaks first.
    grease = configuration(supported_versions=[0x1A2A3A4A, 1], original_version=0x1A2A3A4A)
    async with session(grease) as client:
        assert await client.ask("/") == b"hello over HTTP/3"
        assert client._quic._version == 1
        passed.append("version negotiation")
    print("aioquic:", ", ".join(passed))


asyncio.run(main())

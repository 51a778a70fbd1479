"""python's h2 over a socket of its own, unmodified: the URL in the clear. Bodies beyond the windows, trailers, many streams,
resets, a ping, and what is not offered."""
import socket
import sys
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
import h2.settings

at = urlsplit(sys.argv[1])


class Client:
    def __init__(self):
        self.socket = socket.create_connection((at.hostname, at.port))
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.http.initiate_connection()
        self.flush()
        self.bodies, self.statuses, self.ended, self.resets, self.pongs = {}, {}, set(), {}, []

    def flush(self):
        self.socket.sendall(self.http.data_to_send())

    def receive(self):
        data = self.socket.recv(65536)
        assert data, "closed early"
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.statuses[event.stream_id] = int(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.DataReceived):
                self.bodies.setdefault(event.stream_id, bytearray()).extend(event.data)
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.resets[event.stream_id] = event.error_code
            elif isinstance(event, h2.events.PingAckReceived):
                self.pongs.append(event.ping_data)
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise AssertionError(f"goaway {event.error_code}")
        self.flush()

    def start(self, method, path, end=True):
        stream = self.http.get_next_available_stream_id()
        headers = [(":method", method), (":scheme", "http"), (":authority", at.netloc), (":path", path)]
        self.http.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def answer(self, stream):
        while stream not in self.ended:
            assert stream not in self.resets, self.resets
            self.receive()
        return self.statuses[stream], bytes(self.bodies.get(stream, b""))


client = Client()
assert client.answer(client.start("GET", "/plain")) == (200, b"Hello, world!")
# WebSocket comes over HTTP/2 too (RFC 8441).
assert client.http.remote_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL, 0) == 1
assert client.answer(client.start("GET", "/version"))[1] == b"HTTP/2.0"
assert len(client.answer(client.start("GET", "/big"))[1]) == 8 << 20
streams = [client.start("GET", "/plain") for _ in range(90)]
assert all(client.answer(stream) == (200, b"Hello, world!") for stream in streams)
# A body beyond the server's windows, echoed as it comes, with trailers at its end.
sent, at_byte = b"0123456789" * 150_000, 0
stream = client.start("POST", "/stream", end=False)
while at_byte < len(sent):
    room = min(client.http.local_flow_control_window(stream), client.http.max_outbound_frame_size, len(sent) - at_byte)
    if room == 0:
        client.receive()
        continue
    client.http.send_data(stream, sent[at_byte : at_byte + room])
    at_byte += room
    client.flush()
client.http.send_headers(stream, [("x-sum", "42")], end_stream=True)
client.flush()
assert client.answer(stream) == (200, sent)
# A reset leaves the connection as it was.
stream = client.start("POST", "/echo", end=False)
client.http.reset_stream(stream)
client.http.ping(b"12345678")
client.flush()
while not client.pongs:
    client.receive()
assert client.pongs == [b"12345678"]
assert client.answer(client.start("GET", "/none"))[0] == 404
client.http.close_connection()
client.flush()
print("ok")

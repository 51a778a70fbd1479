"""Keeps a connection open until the server shows new clients another certificate, then uses it again.
acme_client.py ROOT NAME PORT"""
import http.client
import socket
import ssl
import sys
import time

root, name, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=root)
context.verify_flags &= ~ssl.VERIFY_X509_STRICT


class Here(http.client.HTTPSConnection):
    def connect(self):
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.sock = context.wrap_socket(plain, server_hostname=name)


def connect():
    connection = Here(name, port, context=context)
    connection.connect()
    return connection, connection.sock.getpeercert()["serialNumber"]


def ask(connection):
    connection.request("GET", "/")
    response = connection.getresponse()
    assert response.status == 200 and response.read() == b"by acme\n", response.status


kept, before = connect()
ask(kept)
end = time.monotonic() + 50
while True:
    connection, after = connect()
    ask(connection)
    connection.close()
    if after != before:
        break
    assert time.monotonic() < end, "the certificate is not renewed"
    ask(kept)
    time.sleep(0.2)
same = kept.sock
ask(kept)
assert kept.sock is same, "the connection was made anew"
print("renewed, and the connection went on")

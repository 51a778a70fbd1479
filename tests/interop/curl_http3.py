"""libcurl with ngtcp2 and nghttp3 (as pycurl bundles it), unmodified: the secure URL, then the PEM file."""
import io
import sys

import pycurl

URL, PEM = sys.argv[1:3]
if not pycurl.version_info()[4] & pycurl.VERSION_HTTP3:
    print("ok (SKIPPED: this libcurl has no HTTP/3)")
    sys.exit(0)


def ask(path, body=None, version=pycurl.CURL_HTTP_VERSION_3ONLY, curl=None):
    out, head = io.BytesIO(), io.BytesIO()
    own = curl or pycurl.Curl()
    own.setopt(pycurl.URL, URL + path)
    own.setopt(pycurl.CAINFO, PEM)
    own.setopt(pycurl.HTTP_VERSION, version)
    own.setopt(pycurl.WRITEDATA, out)
    own.setopt(pycurl.HEADERFUNCTION, head.write)
    if body is not None:
        own.setopt(pycurl.POST, 1)
        own.setopt(pycurl.POSTFIELDSIZE_LARGE, len(body))
        own.setopt(pycurl.READDATA, io.BytesIO(body))
        own.setopt(pycurl.HTTPHEADER, ["content-type: application/octet-stream"])
    own.perform()
    result = own.getinfo(pycurl.RESPONSE_CODE), own.getinfo(pycurl.INFO_HTTP_VERSION), out.getvalue(), head.getvalue()
    if curl is None:
        own.close()
    return result


HTTP3 = 30 if not hasattr(pycurl, "CURL_HTTP_VERSION_3") else pycurl.CURL_HTTP_VERSION_3
code, version, body, _ = ask("/plain")
assert (code, version, body) == (200, HTTP3, b"Hello, world!"), (code, version, body)
sent = bytes(range(256)) * 10_000
code, version, body, _ = ask("/echo", sent)
assert code == 200 and version == HTTP3 and body == sent
one = pycurl.Curl()
for _ in range(20):
    assert ask("/version", curl=one)[2] == b"HTTP/3.0"
one.close()
assert len(ask("/big")[2]) == 8 << 20
# HTTP/2 says where HTTP/3 is.
code, version, body, head = ask("/version", version=pycurl.CURL_HTTP_VERSION_2TLS)
assert body == b"HTTP/2.0" and b"alt-svc: h3=" in head.lower(), (body, head)
print("ok", pycurl.version)

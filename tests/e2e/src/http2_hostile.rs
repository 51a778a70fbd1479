//! HTTP/2 as hostile clients speak it: frames are written by hand. The cases of h2spec's list that a server can be
//! asked, the floods of the known advisories, clients that are slow or take nothing. After each, a bystander is served.

use crate::http::{BIG, Raw, Served, routes, serve};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud::ghostwire::http::{Body, Handler, Http2Limits, Limits, Request, Response, handler_fn, text};
use shroud::ghostwire::websocket;
use shroud::runtime::net::ConnectOptions;
use shroud::runtime::{Runtime, RuntimeExt};
use std::net::SocketAddr;
use std::time::Duration;

/// Frame types (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113, 7).
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field without compression (RFC 7541, 6.2.2).
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127, "a short text");
        bytes.push(u8::try_from(text.len()).expect("short"));
        bytes.extend(text);
    }
    bytes
}

/// The header of a request.
fn request(method: &str, path: &str) -> Vec<u8> {
    [
        field(b":method", method.as_bytes()),
        field(b":scheme", b"http"),
        field(b":path", path.as_bytes()),
        field(b":authority", b"test"),
    ]
    .concat()
}

/// A request without a body.
fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", path))
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// How an exchange ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The response's status and the length of its body.
    Answered(u16, usize),
    /// The stream was reset with this code.
    Reset(u32),
    /// The connection was given up with this code.
    GoAway(u32),
    /// It was closed without a word.
    Closed,
}

/// A client that writes frames.
struct Client<R: Runtime> {
    stream: R::Stream,
    read: Vec<u8>,
}

impl<R: Runtime> Client<R> {
    async fn connect(runtime: &R, address: SocketAddr) -> Self {
        // Without a table for header fields, a response can be read without keeping one.
        Self::with_settings(runtime, address, &[0, 1, 0, 0, 0, 0]).await
    }

    async fn with_settings(runtime: &R, address: SocketAddr, settings: &[u8]) -> Self {
        let mut client = Self::silent(runtime, address).await;
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await;
        client
    }

    async fn silent(runtime: &R, address: SocketAddr) -> Self {
        let stream = runtime.connect(address, ConnectOptions::default()).await.expect("a connection");
        Self { stream, read: Vec::new() }
    }

    /// Sends; a server that has closed already takes nothing.
    async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            if self.read.len() >= 9 {
                let length = usize::from(self.read[0]) << 16
                    | usize::from(self.read[1]) << 8
                    | usize::from(self.read[2]);
                if self.read.len() >= 9 + length {
                    let bytes: Vec<u8> = self.read.drain(..9 + length).collect();
                    let stream = u32::from_be_bytes(bytes[5..9].try_into().expect("four"));
                    let payload = bytes[9..].to_vec();
                    return Some(Frame { kind: bytes[3], flags: bytes[4], stream, payload });
                }
            }
            let mut buffer = vec![0; 64 * 1024];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Reads until `stream` has its answer or the connection ends. Opens windows again when `takes`.
    async fn outcome(&mut self, stream: u32, takes: bool) -> Outcome {
        let (mut status, mut length) = (0, 0);
        let mut gone = None;
        while let Some(frame) = self.next().await {
            let mut ended = frame.flags & END_STREAM != 0;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    self.send(&self::frame(SETTINGS, ACK, 0, &[])).await;
                    continue;
                }
                PING if frame.flags & ACK == 0 => {
                    self.send(&self::frame(PING, ACK, 0, &frame.payload)).await;
                    continue;
                }
                GOAWAY => {
                    let code = u32::from_be_bytes(frame.payload[4..8].try_into().expect("four"));
                    if code != 0 {
                        return Outcome::GoAway(code);
                    }
                    gone = Some(code);
                    continue;
                }
                RST_STREAM if frame.stream == stream => {
                    return Outcome::Reset(u32::from_be_bytes(frame.payload[..4].try_into().expect("four")));
                }
                HEADERS if frame.stream == stream => status = status_of(&frame.payload),
                DATA if frame.stream == stream => {
                    length += frame.payload.len();
                    if takes && !frame.payload.is_empty() {
                        let count = u32::try_from(frame.payload.len()).expect("a frame").to_be_bytes();
                        let updates = [
                            self::frame(WINDOW_UPDATE, 0, 0, &count),
                            self::frame(WINDOW_UPDATE, 0, stream, &count),
                        ];
                        self.send(&updates.concat()).await;
                    }
                }
                _ => ended = false,
            }
            if ended && frame.stream == stream {
                return Outcome::Answered(status, length);
            }
        }
        gone.map_or(Outcome::Closed, Outcome::GoAway)
    }

    /// The next bytes of a stream, at least so many.
    async fn data(&mut self, stream: u32, least: usize) -> Vec<u8> {
        let mut data = Vec::new();
        while data.len() < least {
            let frame = self.next().await.expect("an open connection");
            assert!(frame.kind != RST_STREAM || frame.stream != stream, "the stream was reset");
            if frame.kind == DATA && frame.stream == stream {
                data.extend(frame.payload);
            }
        }
        data
    }

    async fn ask(&mut self, stream: u32, path: &str) -> Outcome {
        self.send(&get(stream, path)).await;
        self.outcome(stream, true).await
    }
}

/// The status, which a server encodes first: from the static table, or as a literal with its name from there.
fn status_of(block: &[u8]) -> u16 {
    // A size update may come first (RFC 7541, 6.3).
    let block = if block[0] & 0xe0 == 0x20 { &block[1..] } else { block };
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        // Three digits in Huffman's code (RFC 7541, appendix B).
        0x48 | 0x08 => {
            assert_eq!(block[1] & 0x80, 0x80, "not in Huffman's code");
            let bits = block[2..].iter().take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << 8;
            let (mut at, mut status) = (0, 0);
            for _ in 0..3 {
                let rest = bits << at;
                let (digit, length) =
                    if rest >> 29 == 0 { (rest >> 27, 5) } else { ((rest >> 26) - 0b01_1001 + 3, 6) };
                status = status * 10 + u16::try_from(digit).expect("a digit");
                at += length;
            }
            status
        }
        other => panic!("status {other:02x}"),
    }
}

/// `/never` is never answered; `/take` reads its body; the rest is as for HTTP/1.1.
fn handler() -> impl Handler {
    routes().any("/never", handler_fn(|_| std::future::pending())).post("/take", handler_fn(take))
}

async fn take(request: Request<Body>) -> Response<Body> {
    match request.into_body().bytes(1 << 20).await {
        Ok(bytes) => text(bytes),
        Err(error) => {
            let mut response = text("");
            *response.status_mut() = error.status();
            response
        }
    }
}

/// Somebody else is served as if nothing were.
async fn bystander<R: Runtime>(runtime: &R, served: &Served) {
    let mut other = Client::connect(runtime, served.address).await;
    assert_eq!(other.ask(1, "/").await, Outcome::Answered(200, 5));
    let mut other = Raw::<R>::connect(runtime, served.address).await;
    other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(other.answer().await.expect("an answer").status, 200);
}

fn http2(http2: Http2Limits) -> Limits {
    Limits { http2, ..Limits::default() }
}

/// Frames that break the rules get the code that RFC 9113 says, or the general PROTOCOL_ERROR, which hyper's library gives
/// for several; and nobody else notices.
pub async fn violations<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), Limits::default()).await;
    let headers = |stream, block: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, stream, block);
    let with = |extra: &[u8]| headers(1, &[request("GET", "/"), extra.to_vec()].concat());
    let open = frame(HEADERS, END_HEADERS, 1, &request("POST", "/take"));
    let after_open = |bytes: Vec<u8>| [open.clone(), bytes].concat();
    let reset = Outcome::Reset;
    let gone = Outcome::GoAway;
    let cases: Vec<(&str, Vec<u8>, Vec<Outcome>)> = vec![
        ("data on stream 0", frame(DATA, 0, 0, b"x"), vec![gone(PROTOCOL_ERROR)]),
        ("headers on stream 0", headers(0, &request("GET", "/")), vec![gone(PROTOCOL_ERROR)]),
        ("an even stream", headers(2, &request("GET", "/")), vec![gone(PROTOCOL_ERROR)]),
        (
            "a stream that goes back",
            [get(5, "/never"), get(3, "/")].concat(),
            vec![gone(PROTOCOL_ERROR), gone(STREAM_CLOSED)],
        ),
        ("data on an idle stream", frame(DATA, 0, 1, b"x"), vec![gone(PROTOCOL_ERROR)]),
        ("a reset of an idle stream", frame(RST_STREAM, 0, 1, &[0; 4]), vec![gone(PROTOCOL_ERROR)]),
        (
            "a short reset",
            after_open(frame(RST_STREAM, 0, 1, &[0; 3])),
            vec![gone(FRAME_SIZE_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "a window for an idle stream",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            vec![gone(PROTOCOL_ERROR)],
        ),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), vec![gone(PROTOCOL_ERROR)]),
        (
            "a short window",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            vec![gone(FRAME_SIZE_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "a window beyond 2^31",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            vec![gone(FLOW_CONTROL_ERROR)],
        ),
        (
            "a stream's window of nothing",
            after_open(frame(WINDOW_UPDATE, 0, 1, &[0; 4])),
            vec![reset(PROTOCOL_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "a stream's window beyond 2^31",
            after_open(frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])),
            vec![reset(FLOW_CONTROL_ERROR)],
        ),
        ("settings on a stream", frame(SETTINGS, 0, 1, &[]), vec![gone(PROTOCOL_ERROR)]),
        (
            "settings of odd length",
            frame(SETTINGS, 0, 0, &[0; 5]),
            vec![gone(FRAME_SIZE_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "an acknowledgement with settings",
            frame(SETTINGS, ACK, 0, &[0; 6]),
            vec![gone(FRAME_SIZE_ERROR), gone(PROTOCOL_ERROR)],
        ),
        ("push: 2", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), vec![gone(PROTOCOL_ERROR)]),
        (
            "an initial window beyond 2^31",
            frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
            vec![gone(FLOW_CONTROL_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "a frame size below 16,384",
            frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]),
            vec![gone(PROTOCOL_ERROR)],
        ),
        ("a ping on a stream", frame(PING, 0, 1, &[0; 8]), vec![gone(PROTOCOL_ERROR)]),
        ("a short ping", frame(PING, 0, 0, &[0; 6]), vec![gone(FRAME_SIZE_ERROR), gone(PROTOCOL_ERROR)]),
        ("a goaway on a stream", frame(GOAWAY, 0, 1, &[0; 8]), vec![gone(PROTOCOL_ERROR)]),
        ("a push by a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 8]), vec![gone(PROTOCOL_ERROR)]),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &[]), vec![gone(PROTOCOL_ERROR)]),
        (
            "something inside a header block",
            [frame(HEADERS, END_STREAM, 1, &request("GET", "/")), frame(PING, 0, 0, &[0; 8])].concat(),
            vec![gone(PROTOCOL_ERROR)],
        ),
        (
            "a continuation of another stream",
            [frame(HEADERS, END_STREAM, 1, &request("GET", "/")), frame(CONTINUATION, END_HEADERS, 3, &[])]
                .concat(),
            vec![gone(PROTOCOL_ERROR)],
        ),
        ("a frame that is too large", frame(DATA, 0, 1, &[0; 16_385]), vec![gone(FRAME_SIZE_ERROR)]),
        (
            "a table index that is not there",
            headers(1, &[0xff, 0x80, 0x01]),
            vec![gone(COMPRESSION_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "a cut header block",
            headers(1, &[0x00, 0x05, b'a']),
            vec![gone(COMPRESSION_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "padding longer than the frame",
            after_open(frame(DATA, 8, 1, &[20, 0])),
            vec![gone(PROTOCOL_ERROR)],
        ),
        ("upper case", with(&field(b"X-Upper", b"1")), vec![reset(PROTOCOL_ERROR), gone(PROTOCOL_ERROR)]),
        ("a connection field", with(&field(b"connection", b"close")), vec![reset(PROTOCOL_ERROR)]),
        ("a transfer coding", with(&field(b"transfer-encoding", b"chunked")), vec![reset(PROTOCOL_ERROR)]),
        ("te: not trailers", with(&field(b"te", b"gzip")), vec![reset(PROTOCOL_ERROR)]),
        ("a pseudo-field of responses", with(&field(b":status", b"200")), vec![reset(PROTOCOL_ERROR)]),
        (
            "an unknown pseudo-field",
            with(&field(b":other", b"1")),
            vec![reset(PROTOCOL_ERROR), gone(PROTOCOL_ERROR)],
        ),
        ("a second path", with(&field(b":path", b"/")), vec![reset(PROTOCOL_ERROR)]),
        (
            "a pseudo-field after a field",
            headers(1, &[field(b"a", b"b"), request("GET", "/")].concat()),
            vec![reset(PROTOCOL_ERROR)],
        ),
        (
            "no method",
            headers(1, &[field(b":scheme", b"http"), field(b":path", b"/")].concat()),
            vec![reset(PROTOCOL_ERROR)],
        ),
        (
            "no path",
            headers(1, &[field(b":method", b"GET"), field(b":scheme", b"http")].concat()),
            vec![Outcome::Answered(400, 28)],
        ),
        ("an empty path", headers(1, &request("GET", "")), vec![reset(PROTOCOL_ERROR)]),
        (
            "less than content-length",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &[request("POST", "/take"), field(b"content-length", b"5")].concat(),
                ),
                frame(DATA, END_STREAM, 1, b"abc"),
            ]
            .concat(),
            vec![reset(PROTOCOL_ERROR)],
        ),
        (
            "more than content-length",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &[request("POST", "/take"), field(b"content-length", b"2")].concat(),
                ),
                frame(DATA, END_STREAM, 1, b"abc"),
            ]
            .concat(),
            vec![reset(PROTOCOL_ERROR)],
        ),
        (
            "data after the end",
            [get(1, "/never"), frame(DATA, 0, 1, b"x")].concat(),
            vec![reset(STREAM_CLOSED), gone(STREAM_CLOSED), gone(PROTOCOL_ERROR)],
        ),
        (
            "a second header after the end",
            [get(1, "/never"), get(1, "/never")].concat(),
            vec![reset(STREAM_CLOSED), gone(STREAM_CLOSED), gone(PROTOCOL_ERROR)],
        ),
        (
            "trailers that do not end",
            after_open(frame(HEADERS, END_HEADERS, 1, &field(b"a", b"b"))),
            vec![reset(PROTOCOL_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "two hosts",
            with(&[field(b"host", b"a"), field(b"host", b"b")].concat()),
            vec![Outcome::Answered(400, 28)],
        ),
        (
            "a host that is not the authority",
            with(&field(b"host", b"other")),
            vec![Outcome::Answered(400, 28)],
        ),
        (
            "nobody's host",
            headers(
                1,
                &request("GET", "/")[..request("GET", "/").len() - field(b":authority", b"test").len()],
            ),
            vec![Outcome::Answered(400, 28)],
        ),
        (
            "an unknown frame, then a request",
            [frame(0xfa, 0, 0, b"?"), get(1, "/")].concat(),
            vec![Outcome::Answered(200, 5)],
        ),
        (
            "priorities, then a request",
            [frame(PRIORITY, 0, 7, &[0, 0, 0, 1, 9]), get(1, "/")].concat(),
            vec![Outcome::Answered(200, 5)],
        ),
        ("an unknown path", get(1, "/none"), vec![Outcome::Answered(404, 9)]),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, expected) in cases {
        let mut client = Client::connect(&runtime, served.address).await;
        client.send(&bytes).await;
        let outcome = client.outcome(1, true).await;
        if !expected.contains(&outcome) {
            wrong.push(format!("{name}: {outcome:?}, not one of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut client = Client::silent(&runtime, served.address).await;
    client.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await;
    assert!(matches!(client.outcome(1, true).await, Outcome::Closed | Outcome::GoAway(PROTOCOL_ERROR)));
    // The preface in pieces is none the worse.
    let mut client = Client::silent(&runtime, served.address).await;
    for byte in PREFACE {
        client.send(&[*byte]).await;
        runtime.sleep(Duration::from_millis(1)).await;
    }
    client.send(&frame(SETTINGS, 0, 0, &[])).await;
    assert_eq!(client.ask(1, "/").await, Outcome::Answered(200, 5));
    bystander(&runtime, &served).await;
}

/// Streams that are opened and reset at once (CVE-2023-44487), as fast as the wire takes them.
pub async fn rapid_reset<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), Limits::default()).await;
    let mut client = Client::connect(&runtime, served.address).await;
    let mut streams = (1..200_001).step_by(2);
    let burst: Vec<u8> = streams
        .by_ref()
        .take(1000)
        .flat_map(|stream| [get(stream, "/never"), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat())
        .collect();
    client.send(&burst).await;
    let outcome = client.outcome(1, true).await;
    assert!(matches!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM) | Outcome::Closed), "{outcome:?}");
    served.quiet(&runtime).await;
    bystander(&runtime, &served).await;
}

/// The same so slowly that each stream is being answered when it is reset: a connection has so many of them.
pub async fn slow_resets<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), http2(Http2Limits { resets: 3, ..Http2Limits::default() })).await;
    let mut client = Client::connect(&runtime, served.address).await;
    let reset = |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    for stream in [1, 3] {
        client.send(&get(stream, "/never")).await;
        while !in_work(&served, 1) {
            runtime.sleep(Duration::from_millis(2)).await;
        }
        client.send(&reset(stream)).await;
        while !in_work(&served, 0) {
            runtime.sleep(Duration::from_millis(2)).await;
        }
    }
    assert_eq!(client.ask(5, "/").await, Outcome::Answered(200, 5), "two of three used, one given back");
    for stream in [7, 9] {
        client.send(&get(stream, "/never")).await;
        while !in_work(&served, 1) {
            runtime.sleep(Duration::from_millis(2)).await;
        }
        client.send(&reset(stream)).await;
        while !in_work(&served, 0) {
            runtime.sleep(Duration::from_millis(2)).await;
        }
    }
    assert!(matches!(client.ask(11, "/").await, Outcome::Closed | Outcome::GoAway(_)), "one past the limit");
    bystander(&runtime, &served).await;
}

fn in_work(served: &Served, count: u32) -> bool {
    let mut page = String::new();
    served.metrics.render(&mut page);
    page.contains(&format!("\nshroud_http_requests_in_flight {count}\n"))
}

/// Streams beyond the limit are refused; those within it go on.
pub async fn stream_limit<R: Runtime>(runtime: R) {
    let served =
        serve(&runtime, handler(), http2(Http2Limits { streams: 3, ..Http2Limits::default() })).await;
    let mut client = Client::connect(&runtime, served.address).await;
    // Before the settings are acknowledged, a client need not know.
    client.ask(1, "/").await;
    client.send(&[get(3, "/never"), get(5, "/never"), get(7, "/")].concat()).await;
    assert_eq!(client.outcome(7, true).await, Outcome::Answered(200, 5), "the third");
    client.send(&[get(9, "/never"), get(11, "/")].concat()).await;
    assert_eq!(client.outcome(11, true).await, Outcome::Reset(REFUSED_STREAM), "the fourth");
    client.send(&frame(RST_STREAM, 0, 9, &[0, 0, 0, 8])).await;
    assert_eq!(client.ask(13, "/").await, Outcome::Answered(200, 5));
}

/// Header blocks without end, and blocks that say little and mean much.
pub async fn header_floods<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), Limits::default()).await;
    // CONTINUATION (VU#421644): the frames carry no field that could be counted.
    let mut client = Client::connect(&runtime, served.address).await;
    client.send(&frame(HEADERS, END_STREAM, 1, &request("GET", "/"))).await;
    let mut sent = 0;
    while sent < 10_000 && client.send(&frame(CONTINUATION, 0, 1, &[]).repeat(10)).await {
        sent += 10;
        if sent == 1000 {
            break;
        }
    }
    let outcome = client.outcome(1, true).await;
    assert!(
        matches!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM | PROTOCOL_ERROR) | Outcome::Closed),
        "{outcome:?}"
    );
    // A list just within the limit of 16 KiB (each field counts 32 more), and one beyond it.
    for (fields, expected) in [(90, 200), (200, 431)] {
        let block = [request("GET", "/"), field(b"x", &[b'v'; 100]).repeat(fields)].concat();
        let mut client = Client::connect(&runtime, served.address).await;
        let mut parts = block.chunks(16_000).peekable();
        let first = parts.next().expect("a part");
        let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
        client.send(&frame(HEADERS, last | END_STREAM, 1, first)).await;
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
            client.send(&frame(CONTINUATION, last, 1, part)).await;
        }
        let outcome = client.outcome(1, true).await;
        assert!(
            matches!(outcome, Outcome::Answered(status, _) if status == expected),
            "{fields}: {outcome:?}"
        );
    }
    // HPACK: one large field is put into the table, then named ten thousand times by one byte each.
    let mut bomb = [request("GET", "/"), vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e]].concat();
    bomb.extend([b'v'; 4000]);
    bomb.extend([0xbe; 10_000]);
    let mut client = Client::connect(&runtime, served.address).await;
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)).await;
    let outcome = client.outcome(1, true).await;
    assert!(
        matches!(outcome, Outcome::Answered(431, _) | Outcome::GoAway(_) | Outcome::Reset(_)),
        "{outcome:?}"
    );
    bystander(&runtime, &served).await;
}

/// Frames that cost little to send and want an answer, from a client that reads none of them: it is dropped.
pub async fn floods_that_are_not_read<R: Runtime>(runtime: R) {
    let limits = Limits { write_time: Duration::from_millis(300), ..Limits::default() };
    let served = serve(&runtime, handler(), limits).await;
    for flood in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 50])] {
        let mut client = Client::connect(&runtime, served.address).await;
        let burst = flood.repeat(4000);
        let sending = async { while client.send(&burst).await {} };
        assert!(runtime.timeout(Duration::from_secs(60), sending).await.is_ok(), "never dropped");
        served.quiet(&runtime).await;
        bystander(&runtime, &served).await;
        served.quiet(&runtime).await;
    }
}

/// The same from a client that reads: it is served for as long as it likes, and so is everybody else.
pub async fn floods_that_are_read<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), Limits::default()).await;
    let empty =
        [frame(HEADERS, END_HEADERS, 1, &request("POST", "/take")), frame(DATA, 0, 1, &[]).repeat(20_000)];
    let floods = [
        ("ping", frame(PING, 0, 0, &[7; 8]).repeat(2000)),
        ("settings", frame(SETTINGS, 0, 0, &[]).repeat(200)),
        ("priority", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]).repeat(20_000)),
        ("empty data", empty.concat()),
        ("windows", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(20_000)),
    ];
    for (name, flood) in floods {
        let mut client = Client::connect(&runtime, served.address).await;
        client.send(&flood).await;
        bystander(&runtime, &served).await;
        client.send(&frame(DATA, END_STREAM, 1, &[])).await;
        let outcome = client.ask(3, "/").await;
        let served = matches!(outcome, Outcome::Answered(200, 5) | Outcome::GoAway(_) | Outcome::Closed);
        assert!(served, "{name}: {outcome:?}");
    }
}

/// A client that takes nothing of a response, by flow control: that stream is reset, the connection goes on.
pub async fn windows_that_stay_shut<R: Runtime>(runtime: R) {
    let limits = Limits { write_time: Duration::from_millis(200), ..Limits::default() };
    let served = serve(&runtime, handler(), limits).await;
    for (window, path) in [(0, "/"), (0, "/big"), (1, "/big"), (1000, "/big")] {
        let settings = [&[0, 4][..], &u32::to_be_bytes(window)].concat();
        let mut client = Client::with_settings(&runtime, served.address, &settings).await;
        client.send(&get(1, path)).await;
        let outcome = client.outcome(1, false).await;
        assert!(matches!(outcome, Outcome::Reset(_)), "{window} {path}: {outcome:?}");
        // The next one is taken.
        client.send(&get(3, "/")).await;
        client.send(&frame(WINDOW_UPDATE, 0, 3, &[0, 0, 1, 0])).await;
        assert_eq!(client.outcome(3, false).await, Outcome::Answered(200, 5));
    }
    while !in_work(&served, 0) {
        runtime.sleep(Duration::from_millis(5)).await;
    }
    bystander(&runtime, &served).await;
}

/// A client that opens its window a little at a time gets everything.
pub async fn small_windows<R: Runtime>(runtime: R) {
    let served = serve(&runtime, handler(), Limits::default()).await;
    let mut client = Client::with_settings(&runtime, served.address, &[0, 4, 0, 0, 0x20, 0]).await;
    assert_eq!(client.ask(1, "/big").await, Outcome::Answered(200, BIG));
}

/// Bodies: too long by announcement, too long by fact, and too slow.
pub async fn bodies<R: Runtime>(runtime: R) {
    let limits = Limits { body_bytes: 1000, body_time: Duration::from_millis(300), ..Limits::default() };
    let served = serve(&runtime, handler(), limits).await;
    let post = |stream, extra: &[u8]| {
        frame(HEADERS, END_HEADERS, stream, &[request("POST", "/take"), extra.to_vec()].concat())
    };
    let mut client = Client::connect(&runtime, served.address).await;
    client.send(&[post(1, &[]), frame(DATA, END_STREAM, 1, &[b'x'; 1000])].concat()).await;
    assert_eq!(client.outcome(1, true).await, Outcome::Answered(200, 1000), "at the limit");
    client.send(&[post(3, &[]), frame(DATA, END_STREAM, 3, &[b'x'; 1001])].concat()).await;
    assert!(matches!(client.outcome(3, true).await, Outcome::Answered(413, _)), "one past it");
    client.send(&post(5, &field(b"content-length", b"1001"))).await;
    assert!(matches!(client.outcome(5, true).await, Outcome::Answered(413, _)), "announced");
    client.send(&[post(7, &[]), frame(DATA, 0, 7, b"slow")].concat()).await;
    assert!(matches!(client.outcome(7, true).await, Outcome::Answered(408, _)), "it never ends");
    assert_eq!(client.ask(9, "/").await, Outcome::Answered(200, 5), "the connection goes on");
    bystander(&runtime, &served).await;
}

/// Connections on which nothing happens, and ones that do not answer a ping.
pub async fn idle_connections<R: Runtime>(runtime: R) {
    let limits = Limits { idle_time: Duration::from_millis(200), ..Limits::default() };
    let served = serve(&runtime, handler(), limits).await;
    let mut client = Client::connect(&runtime, served.address).await;
    assert_eq!(client.ask(1, "/").await, Outcome::Answered(200, 5));
    assert!(matches!(client.outcome(3, true).await, Outcome::GoAway(0)));
    let mut silent = Client::silent(&runtime, served.address).await;
    silent.send(PREFACE).await;
    silent.outcome(1, true).await;
    served.quiet(&runtime).await;

    let pings = Http2Limits {
        ping_interval: Duration::from_millis(100),
        ping_time: Duration::from_millis(100),
        ..Http2Limits::default()
    };
    let served = serve(&runtime, handler(), http2(pings)).await;
    let mut deaf = Client::connect(&runtime, served.address).await;
    deaf.send(&get(1, "/never")).await;
    while deaf.next().await.is_some() {}
    served.quiet(&runtime).await;
}

/// A stop lets streams in work finish, refuses others, and ends within the drain time.
pub async fn draining<R: Runtime>(runtime: R) {
    let served =
        serve(&runtime, handler(), Limits { drain_time: Duration::from_millis(500), ..Limits::default() })
            .await;
    let mut client = Client::connect(&runtime, served.address).await;
    assert_eq!(client.ask(1, "/").await, Outcome::Answered(200, 5));
    let mut never = Client::connect(&runtime, served.address).await;
    never.send(&get(1, "/never")).await;
    while !in_work(&served, 1) {
        runtime.sleep(Duration::from_millis(5)).await;
    }
    runtime.stopping().cancel();
    assert!(matches!(client.outcome(3, true).await, Outcome::GoAway(0)));
    served.task.await.expect("a server that ends").expect("without failure");
    assert_eq!(served.metrics.connections(), 0);
}

/// A request for a tunnel (RFC 8441, 4).
fn extended(path: &str, protocol: &[u8]) -> Vec<u8> {
    [request("CONNECT", path), field(b":protocol", protocol), field(b"sec-websocket-version", b"13")].concat()
}

/// Tunnels for WebSocket are opened where there is somebody for them; what goes wrong in one ends that one alone.
pub async fn tunnels<R: Runtime>(runtime: R) {
    let options = websocket::Options::default();
    let metrics = options.metrics.clone();
    let echo = websocket::serve(options, |mut socket: websocket::WebSocket, _| async move {
        while let Ok(Some(message)) = socket.receive().await {
            if socket.feed(message).await.is_err() {
                return;
            }
        }
    });
    let served = serve(&runtime, routes().get("/socket", echo), Limits::default()).await;
    let mut client = Client::connect(&runtime, served.address).await;
    let plain = [field(b":method", b"CONNECT"), field(b":authority", b"test")].concat();
    let without_version = [request("CONNECT", "/socket"), field(b":protocol", b"websocket")].concat();
    let mut stream = 1;
    for (name, header, status) in [
        ("no protocol", plain, 405),
        ("another protocol", extended("/socket", b"other"), 501),
        ("no version", without_version, 426),
        ("a path without a socket", extended("/", b"websocket"), 405),
        ("an unknown path", extended("/none", b"websocket"), 404),
    ] {
        client.send(&frame(HEADERS, END_HEADERS, stream, &header)).await;
        let outcome = client.outcome(stream, true).await;
        assert!(matches!(outcome, Outcome::Answered(code, _) if code == status), "{name}: {outcome:?}");
        stream += 2;
    }
    let open = frame(HEADERS, END_HEADERS, 21, &extended("/socket", b"websocket"));
    client.send(&open).await;
    // "hi", masked with zeros: it comes back unmasked.
    client.send(&frame(DATA, 0, 21, &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'])).await;
    assert_eq!(client.data(21, 4).await, [0x81, 2, b'h', b'i']);
    assert_eq!(metrics.connections(), 1);
    // A frame without a mask (RFC 6455, 5.1): a close frame with 1002, and the end of the stream.
    client.send(&frame(DATA, 0, 21, &[0x81, 2, b'h', b'i'])).await;
    let closed = client.data(21, 4).await;
    assert_eq!((closed[0], &closed[2..4]), (0x88, &[0x03, 0xea][..]));
    assert_eq!(client.ask(23, "/").await, Outcome::Answered(200, 5));
    for (stream, end) in
        [(25, frame(RST_STREAM, 0, 25, &[0, 0, 0, 8])), (27, frame(DATA, END_STREAM, 27, &[]))]
    {
        client.send(&frame(HEADERS, END_HEADERS, stream, &extended("/socket", b"websocket"))).await;
        client.send(&frame(DATA, 0, stream, &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'])).await;
        assert_eq!(client.data(stream, 4).await, [0x81, 2, b'h', b'i']);
        client.send(&end).await;
        while metrics.connections() > 0 {
            runtime.sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(client.ask(29, "/").await, Outcome::Answered(200, 5));
    // A connection that breaks off takes its sockets along.
    client.send(&frame(HEADERS, END_HEADERS, 31, &extended("/socket", b"websocket"))).await;
    client.send(&frame(DATA, 0, 31, &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'])).await;
    assert_eq!(client.data(31, 4).await, [0x81, 2, b'h', b'i']);
    drop(client);
    served.quiet(&runtime).await;
    assert_eq!(metrics.connections(), 0);
}

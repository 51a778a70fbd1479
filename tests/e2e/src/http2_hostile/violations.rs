//! Frames that break the rules: the cases of h2spec's list that a server can be asked.

use super::frames::*;
use super::{bystander, handler};
use crate::http::serve;
use shroud::ghostwire::http::Limits;
use shroud::runtime::{Runtime, RuntimeExt};
use std::time::Duration;

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
        // RFC 9113, 4.1: undefined flags and the reserved bit are ignored.
        (
            "undefined flags",
            [frame(PING, 0xfe, 0, &[0; 8]), get(1, "/")].concat(),
            vec![Outcome::Answered(200, 5)],
        ),
        (
            "the reserved bit",
            [frame(PING, 0, 1 << 31, &[0; 8]), get(1, "/")].concat(),
            vec![Outcome::Answered(200, 5)],
        ),
        (
            "a header block of one frame that is too large",
            headers(1, &[request("GET", "/"), field(b"x", &[b'v'; 120]).repeat(140)].concat()),
            vec![gone(FRAME_SIZE_ERROR)],
        ),
        (
            "a priority inside a header block",
            [frame(HEADERS, END_STREAM, 1, &request("GET", "/")), frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])]
                .concat(),
            vec![gone(PROTOCOL_ERROR)],
        ),
        (
            "an unknown frame inside a header block",
            [frame(HEADERS, END_STREAM, 1, &request("GET", "/")), frame(0xfa, 0, 1, &[0])].concat(),
            vec![gone(PROTOCOL_ERROR)],
        ),
        (
            "headers of another stream inside a header block",
            [frame(HEADERS, END_STREAM, 1, &request("GET", "/")), get(3, "/")].concat(),
            vec![gone(PROTOCOL_ERROR)],
        ),
        (
            "a continuation after the end of a header",
            [get(1, "/never"), frame(CONTINUATION, END_HEADERS, 1, &field(b"a", b"b"))].concat(),
            vec![gone(PROTOCOL_ERROR), gone(STREAM_CLOSED)],
        ),
        ("a continuation on stream 0", frame(CONTINUATION, END_HEADERS, 0, &[]), vec![gone(PROTOCOL_ERROR)]),
        ("a priority on stream 0", frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 1]), vec![gone(PROTOCOL_ERROR)]),
        (
            "a short priority",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 3]),
            vec![reset(FRAME_SIZE_ERROR), gone(FRAME_SIZE_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "a stream that depends on itself",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | 0x20,
                1,
                &[&[0, 0, 0, 1, 9][..], &request("GET", "/")].concat(),
            ),
            vec![reset(PROTOCOL_ERROR), gone(PROTOCOL_ERROR)],
        ),
        ("a reset on stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), vec![gone(PROTOCOL_ERROR)]),
        (
            "padding of a header longer than it",
            frame(HEADERS, END_HEADERS | END_STREAM | 8, 1, &[&[200][..], &request("GET", "/")].concat()),
            vec![gone(PROTOCOL_ERROR)],
        ),
        (
            "a frame size beyond 2^24 - 1",
            frame(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]),
            vec![gone(PROTOCOL_ERROR)],
        ),
        (
            "an unknown setting",
            [frame(SETTINGS, 0, 0, &[0, 0xff, 0, 0, 0, 1]), get(1, "/")].concat(),
            vec![Outcome::Answered(200, 5)],
        ),
        (
            "two initial windows in one frame, the last of which counts",
            [frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1, 0, 4, 0, 0, 0, 100]), get(1, "/")].concat(),
            vec![Outcome::Answered(200, 5)],
        ),
        (
            "a ping's answer that nobody asked for",
            [frame(PING, ACK, 0, &[0; 8]), get(1, "/")].concat(),
            vec![Outcome::Answered(200, 5)],
        ),
        (
            "data after a reset",
            [after_open(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])), frame(DATA, 0, 1, b"x")].concat(),
            vec![reset(STREAM_CLOSED), gone(STREAM_CLOSED), gone(PROTOCOL_ERROR)],
        ),
        (
            "a header after a reset",
            [after_open(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])), get(1, "/")].concat(),
            vec![reset(STREAM_CLOSED), gone(STREAM_CLOSED), gone(PROTOCOL_ERROR)],
        ),
        (
            "no scheme",
            headers(
                1,
                &[field(b":method", b"GET"), field(b":path", b"/"), field(b":authority", b"a")].concat(),
            ),
            vec![reset(PROTOCOL_ERROR)],
        ),
        ("a second method", with(&field(b":method", b"GET")), vec![reset(PROTOCOL_ERROR)]),
        ("a second scheme", with(&field(b":scheme", b"http")), vec![reset(PROTOCOL_ERROR)]),
        ("keep-alive", with(&field(b"keep-alive", b"1")), vec![reset(PROTOCOL_ERROR)]),
        ("proxy-connection", with(&field(b"proxy-connection", b"close")), vec![reset(PROTOCOL_ERROR)]),
        ("upgrade", with(&field(b"upgrade", b"websocket")), vec![reset(PROTOCOL_ERROR)]),
        (
            "less than content-length, in several frames",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &[request("POST", "/take"), field(b"content-length", b"9")].concat(),
                ),
                frame(DATA, 0, 1, b"abc"),
                frame(DATA, END_STREAM, 1, b"abc"),
            ]
            .concat(),
            vec![reset(PROTOCOL_ERROR)],
        ),
        // RFC 7541: 2.3.3, 4.2, 5.2, 6.1, 6.3.
        ("table index 0", headers(1, &[0x80]), vec![gone(COMPRESSION_ERROR), gone(PROTOCOL_ERROR)]),
        (
            "a size update at the end of a block",
            headers(1, &[request("GET", "/"), vec![0x20]].concat()),
            vec![gone(COMPRESSION_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "a size update beyond the setting",
            headers(1, &[vec![0x3f, 0xe1, 0xff, 0x03], request("GET", "/")].concat()),
            vec![gone(COMPRESSION_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "Huffman's code padded by more than seven bits",
            with(&[0x00, 1, b'a', 0x83, 0x1f, 0xff, 0xff]),
            vec![gone(COMPRESSION_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "Huffman's code padded by zeros",
            with(&[0x00, 1, b'a', 0x81, 0x18]),
            vec![gone(COMPRESSION_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "Huffman's end of string inside it",
            with(&[0x00, 1, b'a', 0x84, 0xff, 0xff, 0xff, 0xff]),
            vec![gone(COMPRESSION_ERROR), gone(PROTOCOL_ERROR)],
        ),
        (
            "an integer without end",
            headers(1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            vec![gone(COMPRESSION_ERROR), gone(PROTOCOL_ERROR)],
        ),
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

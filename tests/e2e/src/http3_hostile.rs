//! HTTP/3 as hostile clients speak it: h3spec's list, and malformed requests.

use crate::http3::{routes, serve};
use shroud::ghostwire::http::{Limits, StatusCode};
use shroud::runtime::Runtime;
use shroud_quic::{ConnectionError, VarInt};

/// A field without compression (RFC 9204, 4.5.6).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = match name.len() {
        length @ 0..7 => vec![0x20 | length as u8],
        length => vec![0x27, length as u8 - 7],
    };
    bytes.extend(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.as_bytes());
    bytes
}

/// A HEADERS frame (RFC 9114, 7.2.2).
pub fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    let length = (block.len() + 2) as u16 | 0x4000;
    [&[1][..], &length.to_be_bytes(), &[0, 0], &block].concat()
}

/// h3spec's list, and more (but for numbers of pushes, which this server never makes: h3 0.0.8 does not look at them): what may not be on which stream, with the connection's code (RFC 9114, 8.1; RFC 9204, 6).
pub async fn violations<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let get = headers(&[(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/echo")]);
    let after = |rest: &[u8]| [&get[..], rest].concat();
    let (control, request) = (false, true);
    let cases: Vec<(&str, bool, Vec<Vec<u8>>, u64)> = vec![
        ("HEADERS on the control stream", control, vec![vec![0, 4, 0, 1, 2, 0, 0]], 0x105),
        ("PUSH_PROMISE on the control stream", control, vec![vec![0, 4, 0, 5, 1, 0]], 0x105),
        ("PRIORITY of HTTP/2", control, vec![vec![0, 4, 0, 2, 1, 0]], 0x105),
        ("PING of HTTP/2", control, vec![vec![0, 4, 0, 6, 1, 0]], 0x105),
        ("a setting twice", control, vec![vec![0, 4, 4, 6, 1, 6, 1]], 0x109),
        ("a setting cut short", control, vec![vec![0, 4, 1, 6]], 0x109),
        ("a push stream of a client", control, vec![vec![0, 4, 0], vec![1, 0]], 0x103),
        (
            "an entry for a table that there is not",
            control,
            vec![vec![0, 4, 0], vec![2, 0x3f, 0xe1, 0x1f]],
            0x201,
        ),
        ("an increment of nothing", control, vec![vec![0, 4, 0], vec![3, 0x00]], 0x202),
        ("an acknowledged section", control, vec![vec![0, 4, 0], vec![3, 0x80]], 0x202),
        ("two streams of encoders", control, vec![vec![0, 4, 0], vec![2], vec![2]], 0x103),
        ("CANCEL_PUSH on a request", request, vec![vec![3, 1, 0]], 0x105),
        ("SETTINGS on a request", request, vec![vec![4, 0]], 0x105),
        ("GOAWAY on a request", request, vec![vec![7, 1, 0]], 0x105),
        ("MAX_PUSH_ID on a request", request, vec![vec![0x0d, 1, 0]], 0x105),
        ("PUSH_PROMISE on a request", request, vec![vec![5, 1, 0]], 0x105),
        ("PRIORITY of HTTP/2 on a request", request, vec![vec![2, 1, 0]], 0x105),
        ("SETTINGS after a request's header", request, vec![after(&[4, 0])], 0x105),
        ("a frame cut short", request, vec![after(&[0, 100, 1])], 0x106),
        ("a header section cut short", request, vec![vec![1, 100, 0, 0]], 0x106),
        ("a section with a table's entry", request, vec![vec![1, 3, 0x02, 0x00, 0x80]], 0x200),
        ("a static entry that there is not", request, vec![vec![1, 4, 0, 0, 0xff, 0x40]], 0x200),
    ];
    let mut wrong = Vec::new();
    for (name, on_request, streams, code) in cases {
        let (_endpoint, connection) = served.connect(&runtime).await;
        let mut held = Vec::new();
        let mut answers = Vec::new();
        for bytes in streams {
            let mut send = if on_request {
                let (send, receive) = connection.open_bi().await.unwrap();
                answers.push(receive);
                send
            } else {
                connection.open_uni().await.unwrap()
            };
            let _ = send.write_all(&bytes).await;
            if on_request {
                let _ = send.finish();
            }
            held.push(send);
        }
        let ended = connection.closed().await;
        let expected = VarInt::from_u64(code).unwrap();
        if !matches!(&ended, ConnectionError::PeerClosed { code, .. } if *code == expected) {
            wrong.push(format!("{name}: {ended:?}, not {code:#x}"));
        }
    }
    // The encoder's stream ends.
    let (_endpoint, connection) = served.connect(&runtime).await;
    for bytes in [&[0, 4, 0][..], &[2]] {
        let mut send = connection.open_uni().await.unwrap();
        send.write_all(bytes).await.unwrap();
        if bytes == [2] {
            send.finish().unwrap();
        }
        std::mem::forget(send);
    }
    let closed = connection.closed().await;
    if !matches!(&closed, ConnectionError::PeerClosed { code, .. } if *code == VarInt::from_u32(0x104)) {
        wrong.push(format!("the encoder's stream ends: {closed:?}"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let client = served.client(&runtime).await;
    assert_eq!(client.get("/hello").await.0, StatusCode::OK);
}

/// Requests that are malformed (RFC 9114, 4.1.2, 4.2, 4.3): refused, each on its stream, and the connection goes on. (Of
/// pseudo-fields that come twice, out of their order or from the response's set, h3 0.0.8 takes the last, and tells nobody.)
pub async fn malformed_requests<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let (_endpoint, connection) = served.connect(&runtime).await;
    let mut control = connection.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    let base = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/hello")];
    let with = |more: &[(&str, &str)]| headers(&[&base[..], more].concat());
    let without =
        |name: &str| headers(&base.iter().copied().filter(|(other, _)| *other != name).collect::<Vec<_>>());
    let post = |length| {
        let [_, scheme, authority, _] = base;
        headers(&[(":method", "POST"), scheme, authority, (":path", "/echo"), ("content-length", length)])
    };
    let data = |text: &str| [&[0, text.len() as u8][..], text.as_bytes()].concat();
    let cases = [
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("an empty path", headers(&[base[0], base[1], base[2], (":path", "")])),
        ("an unknown pseudo-field", with(&[(":other", "1")])),
        ("upper case", with(&[("X-Upper", "1")])),
        ("a field with a line break", with(&[("a", "b\r\nc: d")])),
        ("connection", with(&[("connection", "close")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("te: not trailers", with(&[("te", "gzip")])),
        ("keep-alive", with(&[("keep-alive", "1")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
        ("upgrade", with(&[("upgrade", "websocket")])),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "0")])),
        ("less than content-length", [post("9"), data("hello")].concat()),
        ("more than content-length", [post("2"), data("hello")].concat()),
    ];
    let mut wrong = Vec::new();
    for (name, bytes) in cases {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        let _ = send.finish();
        // Reset, or answered by another text.
        let answer = receive.read_to_end(10_000).await;
        let refused = match &answer {
            Err(_) => true,
            Ok(bytes) => !bytes.windows(5).any(|window| window == b"hello"),
        };
        if !refused || connection.close_reason().is_some() {
            wrong.push(format!("{name}: {answer:?} {:?}", connection.close_reason()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&with(&[])).await.unwrap();
    send.finish().unwrap();
    let answer = receive.read_to_end(10_000).await.unwrap();
    assert!(answer.windows(5).any(|window| window == b"hello"), "{answer:?}");
}

//! HTTP/3 as hostile clients speak it: h3spec's list, and malformed requests.

use crate::http3::{routes, serve};
use crate::quic::support::{Identity, NAME, local};
use shroud::ghostwire::http::{
    Body, BodyError, ClientLimits, Http3Client, Http3Error, Limits, Method, Request, StatusCode,
};
use shroud::runtime::Runtime;
use shroud_quic::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, ServerConfig, Transport, VarInt,
};
use std::sync::Arc;

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

/// h3spec's list, and more (but for MAX_PUSH_ID that takes back what it allowed: this server never pushes, and h3 0.0.8 does not
/// look at it): what may not be on which stream, with the connection's code (RFC 9114, 8.1; RFC 9204, 6).
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
        ("CANCEL_PUSH of what was never pushed", control, vec![vec![0, 4, 0, 3, 1, 0]], 0x108),
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

/// What a server does that pushes: bytes on the request's stream, and on unidirectional ones of its own.
#[derive(Clone)]
struct Push {
    name: &'static str,
    answer: Vec<u8>,
    streams: Vec<Vec<u8>>,
    code: u32,
}

/// The frames on the client's control stream, until it ends: their types.
async fn control_frames(connection: &Connection) -> Vec<u64> {
    let mut frames = Vec::new();
    while let Ok(mut stream) = connection.accept_uni().await {
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = stream.read_chunk(10_000).await {
            bytes.extend_from_slice(&chunk);
            if bytes[0] != 0 {
                break;
            }
        }
        // All that this client sends is short.
        let mut rest = match bytes.split_first() {
            Some((0, rest)) => rest,
            _ => continue,
        };
        while let [kind, length, more @ ..] = rest {
            assert!(*kind < 64 && *length < 64, "{rest:?}");
            frames.push(u64::from(*kind));
            rest = &more[usize::from(*length).min(more.len())..];
        }
    }
    frames
}

/// Servers that push (RFC 9114, 4.6) to a client that has sent no MAX_PUSH_ID: it ends the connection with H3_ID_ERROR, says why
/// the request has failed, and goes on with a new connection.
pub async fn pushes<R: Runtime>(runtime: R) {
    let status = |status| headers(&[(":status", status)]);
    // Push 0 of an empty request; a response's piece.
    let (promise, piece) = (vec![5, 3, 0, 0, 0], vec![0, 1, b'x']);
    let control = vec![0, 4, 0];
    let case = |name, answer: &[&[u8]], streams: &[&[u8]], code| Push {
        name,
        answer: answer.concat(),
        streams: streams.iter().map(|stream| stream.to_vec()).collect(),
        code,
    };
    let cases = [
        case("a promise instead of an answer", &[&promise], &[&control], 0x108),
        case("a promise after the head", &[&status("200"), &promise], &[&control], 0x108),
        case("a promise after a piece", &[&status("200"), &piece, &promise], &[&control], 0x108),
        case("a stream of a push", &[], &[&control, &[1, 0]], 0x108),
        case("a stream of a push in the middle", &[&status("200"), &piece], &[&control, &[1, 0]], 0x108),
        case("a push taken back", &[], &[&[0, 4, 0, 3, 1, 0]], 0x108),
        case("a client's leave to push", &[], &[&[0, 4, 0, 0x0d, 1, 0]], 0x105),
    ];
    let identity = Identity::generate();
    let mut tls = identity.server_tls();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = ServerConfig::new(Arc::new(tls));
    let server = Endpoint::server(&runtime, local(), &EndpointConfig::default(), &config).await.unwrap();
    let address = server.local_addr();
    let (tell, told) = shroud::runtime::sync::channel::unbounded();
    let (pushed, own) = (cases.clone(), runtime.clone());
    let _server = runtime.spawn("pushing server", async move {
        for push in pushed {
            let connection = server.accept().await.unwrap().await.unwrap();
            let frames = own.spawn("control stream", {
                let connection = connection.clone();
                async move { control_frames(&connection).await }
            });
            let (mut send, mut receive) = connection.accept_bi().await.unwrap();
            receive.read_to_end(10_000).await.unwrap();
            // The client may close before all of it is written.
            let _ = send.write_all(&push.answer).await;
            let mut held = Vec::new();
            for bytes in push.streams {
                if let Ok(mut stream) = connection.open_uni().await {
                    let _ = stream.write_all(&bytes).await;
                    held.push(stream);
                }
            }
            let ended = connection.closed().await;
            tell.send((ended, frames.await.unwrap())).await.unwrap();
            // The next one is served.
            let connection = server.accept().await.unwrap().await.unwrap();
            let mut control = connection.open_uni().await.unwrap();
            control.write_all(&[0, 4, 0]).await.unwrap();
            let (mut send, mut receive) = connection.accept_bi().await.unwrap();
            receive.read_to_end(10_000).await.unwrap();
            send.write_all(&headers(&[(":status", "200")])).await.unwrap();
            send.finish().unwrap();
            connection.closed().await;
        }
    });
    let mut wrong = Vec::new();
    for Push { name, code, .. } in cases {
        let mut tls = identity.client_tls();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let config = ClientConfig::new(Arc::new(tls), &Transport::default()).unwrap();
        let endpoint = Endpoint::client(&runtime, local(), &EndpointConfig::default()).await.unwrap();
        let client = Http3Client::new(runtime.clone(), endpoint, config, ClientLimits::default())
            .resolving(NAME, address.ip());
        let ask = async || {
            let uri = format!("https://{NAME}:{}/", address.port());
            let request = Request::builder().method(Method::POST).uri(uri).body(Body::empty()).unwrap();
            client.send(request).await
        };
        // Both sides say the same, wherever the response was.
        let reason = match ask().await {
            Ok(response) => match response.into_body().bytes(1000).await {
                Err(BodyError::BrokenOff(error)) => error.downcast::<Http3Error>().map(|error| *error),
                other => panic!("{name}: {other:?}"),
            },
            Err(error) => Ok(error),
        };
        let expected = VarInt::from_u32(code);
        let precise = match &reason {
            Ok(Http3Error::Lost(ConnectionError::Violated { code, .. })) => *code == expected,
            // What h3 finds itself.
            Ok(Http3Error::Http(error)) => code == 0x105 && error.to_string().contains("H3_FRAME_UNEXPECTED"),
            _ => false,
        };
        let (ended, frames) = told.recv().await.unwrap();
        let told = matches!(&ended, ConnectionError::PeerClosed { code, .. } if *code == expected);
        if !precise || !told || !frames.contains(&4) || frames.contains(&0x0d) {
            wrong.push(format!("{name}: {reason:?}; the server: {ended:?} {frames:?}"));
        }
        assert_eq!(ask().await.unwrap().status(), StatusCode::OK, "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

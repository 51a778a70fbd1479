//! Tunnels over HTTP/2 (RFC 8441).

use super::frames::*;
use crate::http::{routes, serve};
use shroud::ghostwire::http::Limits;
use shroud::ghostwire::websocket;
use shroud::runtime::{Runtime, RuntimeExt};
use std::time::Duration;

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

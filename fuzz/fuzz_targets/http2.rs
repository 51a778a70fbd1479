//! The HTTP server's HTTP/2: any bytes after the preface, in pieces of any size, from a client that reads as slowly as it
//! likes. The server answers in frames, and the connection ends by itself.
//!
//! The first byte says how the bytes are cut, the second how much of the answer is taken with each piece, the third
//! whether the client closes its side; the rest is sent.
#![no_main]

#[allow(dead_code, reason = "shared with the target http")]
mod memory;

use libfuzzer_sys::fuzz_target;
use memory::{Memory, Peer};
use shroud_ghostwire::http::{Body, Limits, Request, Router, Server, handler_fn, refusal, text};
use shroud_runtime::{Class, Runtime};
use std::time::Duration;

/// Longer than the server lets a client take for anything.
const PATIENCE: Duration = Duration::from_secs(80);

fn server() -> Server<Router> {
    let echo = handler_fn(|request: Request<Body>| async move {
        match request.into_body().bytes(256).await {
            Ok(bytes) => text(bytes),
            Err(error) => refusal(error.status(), error.to_string()),
        }
    });
    let router = Router::new().get("/", handler_fn(|_| async { text("hello") })).any("/echo", echo);
    Server::new(router, Limits { body_bytes: 512, ..Limits::default() }).expect("valid limits")
}

fuzz_target!(|input: &[u8]| {
    let &[cut, room, ends, ref bytes @ ..] = input else { return };
    let memory = Memory::new();
    let (peer, listener) = Peer::new();
    let (server, runtime) = (server(), memory.runtime.clone());
    let mut served = memory
        .runtime
        .spawn_in(Class::Network, "serve", async move { server.serve(&runtime, listener).await });
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    for piece in bytes.chunks(usize::from(cut) + 1) {
        peer.send(piece);
        peer.make_room(usize::from(room) * 4);
        memory.settle();
    }
    if ends % 2 == 1 {
        peer.end();
    }
    memory.settle();
    peer.make_room(usize::MAX);
    memory.settle();
    for _ in 0..4 {
        memory.advance(PATIENCE);
    }
    assert!(peer.is_closed(), "the connection goes on for ever");
    check_frames(&peer.output());
    memory.stop();
    memory.advance(PATIENCE);
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let ended = std::pin::Pin::new(&mut served).poll(cx);
    assert!(matches!(ended, std::task::Poll::Ready(Ok(Ok(())))), "the server does not stop: {ended:?}");
});

/// SETTINGS first (RFC 9113, 3.4), then frames; a connection that is dropped may cut the last one short.
fn check_frames(mut output: &[u8]) {
    assert!(output.len() < 9 || output[3] == 4, "settings do not come first");
    while let [a, b, c, kind, _flags, _, _, _, _, rest @ ..] = output {
        assert!(*kind <= 9 && *kind != 5, "a frame of kind {kind}: pushes are never made");
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        output = rest.get(length..).unwrap_or(&[]);
    }
}

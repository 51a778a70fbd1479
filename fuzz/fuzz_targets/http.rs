//! The HTTP server and JSON-RPC over it: any bytes, in pieces of any size, from a client that reads as slowly as it likes.
//! Every answer is well-formed, and the connection ends by itself.
//!
//! The first byte says how the request is cut, the second how much of the answer is taken with each piece, the third
//! whether the client closes its side; the rest is sent.
#![no_main]

#[allow(dead_code, reason = "shared with other targets")]
mod memory;

use libfuzzer_sys::fuzz_target;
use memory::{Memory, Peer};
use serde_json::value::RawValue;
use shroud_ghostwire::http::{Body, Cors, Limits, Request, Router, Server, handler_fn, refusal, text};
use shroud_ghostwire::pages;
use shroud_ghostwire::rpc::{Methods, RpcHandler, RpcLimits};
use shroud_runtime::{Class, Runtime};
use shroud_wire::jsonrpc::{Json, RpcError};
use std::time::Duration;

/// Longer than the server lets a client take for anything.
const PATIENCE: Duration = Duration::from_secs(80);
/// A body longer than this is refused.
const BODY_BYTES: u64 = 512;

struct Echo;

impl Methods for Echo {
    async fn call(&self, method: &str, params: Option<&RawValue>) -> Result<Json, RpcError> {
        match (method, params) {
            ("null", None) => Ok(Json::NULL),
            ("echo", Some(params)) => Ok(Json::from(params)),
            _ => Err(RpcError::method_not_found(method)),
        }
    }
}

fn server() -> Server<Router> {
    let router = Router::new()
        .any("/", Cors::any(RpcHandler::new(Echo, RpcLimits::default())))
        .get("/health", pages::health())
        .post(
            "/echo",
            handler_fn(|request: Request<Body>| async move {
                match request.into_body().bytes(BODY_BYTES / 2).await {
                    Ok(bytes) => text(bytes),
                    Err(error) => refusal(error.status(), error.to_string()),
                }
            }),
        );
    Server::new(router, Limits { body_bytes: BODY_BYTES, ..Limits::default() }).expect("valid limits")
}

fuzz_target!(|input: &[u8]| {
    let &[cut, room, ends, ref bytes @ ..] = input else { return };
    let memory = Memory::new();
    let (peer, listener) = Peer::new();
    let (server, runtime) = (server(), memory.runtime.clone());
    let mut served = memory
        .runtime
        .spawn_in(Class::Network, "serve", async move { server.serve(&runtime, listener).await });
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
    // The answer to HEAD says how long a body would be, and has none; what begins so is HTTP/2 (the target `http2`).
    if !bytes.starts_with(b"PRI ") && !bytes.windows(4).any(|word| word == b"HEAD") {
        check_answers(&peer.output());
    }
    memory.stop();
    memory.advance(PATIENCE);
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let ended = std::pin::Pin::new(&mut served).poll(cx);
    assert!(matches!(ended, std::task::Poll::Ready(Ok(Ok(())))), "the server does not stop: {ended:?}");
});

/// One response after the other, each with its whole body.
fn check_answers(mut output: &[u8]) {
    while !output.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let shown = || String::from_utf8_lossy(output).into_owned();
        let head = match response.parse(output) {
            Ok(httparse::Status::Complete(head)) => head,
            other => panic!("{other:?}: {}", shown()),
        };
        let length =
            response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length = length.map(|header| {
            std::str::from_utf8(header.value)
                .ok()
                .and_then(|text| text.parse::<usize>().ok())
                .expect("a length")
        });
        let bodyless = matches!(response.code, Some(100..=199 | 204 | 304));
        let length = if bodyless { 0 } else { length.unwrap_or_else(|| panic!("no length: {}", shown())) };
        output = output.get(head + length..).unwrap_or_else(|| panic!("a body is cut short: {}", shown()));
    }
}

//! The HTTP/3 server: any bytes on any streams of a client, in pieces, with resets and ends between them. Never a panic; a
//! bystander is served before and after.
//!
//! The input is cut into pieces: a byte that says what happens and on which stream, a byte for a length, and its bytes.
#![no_main]

extern crate self as shroud;
pub use shroud_runtime as runtime;

#[allow(dead_code, reason = "shared with other targets")]
mod memory;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/e2e/src/quic/support.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use memory::{Memory, MemoryRuntime};
use shroud_ghostwire::http::{Body, Http3Client, Limits, Request, Router, Server, handler_fn, refusal, text};
use shroud_quic::{
    ClientConfig, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig, Transport, VarInt,
};
use shroud_runtime::{Runtime, RuntimeExt};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use support::{Identity, NAME, local};

/// Pieces of one input.
const PIECES: usize = 60;

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(Identity::generate)
}

fuzz_target!(|input: &[u8]| {
    let memory = Memory::new();
    let (runtime, input) = (memory.runtime.clone(), input.to_vec());
    let mut story = memory.runtime.spawn("story", async move { story(runtime, &input).await });
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..30_000 {
        memory.advance(Duration::from_millis(10));
        if let Poll::Ready(ended) = Pin::new(&mut story).poll(cx) {
            ended.expect("the story ends well");
            return;
        }
    }
    panic!("the bystander is not served");
});

fn routes() -> Router {
    let echo = handler_fn(|request: Request<Body>| async move {
        match request.into_body().bytes(256).await {
            Ok(bytes) => text(bytes),
            Err(error) => refusal(error.status(), error.to_string()),
        }
    });
    Router::new().get("/", handler_fn(|_| async { text("hello") })).any("/echo", echo)
}

/// A client's configuration for HTTP/3.
fn client() -> ClientConfig {
    let mut tls = identity().client_tls();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    ClientConfig::new(Arc::new(tls), &Transport::default()).expect("valid")
}

/// A stream of the hostile client.
struct Stream {
    send: SendStream,
    _receive: Option<RecvStream>,
}

async fn story(runtime: MemoryRuntime, input: &[u8]) {
    let mut tls = identity().server_tls();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = ServerConfig::new(Arc::new(tls));
    let options = EndpointConfig::default();
    let endpoint = Endpoint::server(&runtime, local(), &options, &config).await.expect("a server");
    let to = endpoint.local_addr();
    let server =
        Server::new(routes(), Limits { body_bytes: 512, ..Limits::default() }).expect("valid limits");
    let inner = runtime.clone();
    let _serving = runtime.spawn("serve", async move { server.serve_http3(&inner, endpoint).await });

    let endpoint = Endpoint::client(&runtime, local(), &options).await.expect("a client");
    let bystander = Http3Client::new(runtime.clone(), endpoint.clone(), client(), Default::default());
    let bystander = bystander.resolving(NAME, to.ip());
    let ask = async || {
        let uri = format!("https://{NAME}:{}/", to.port());
        let request = Request::get(uri).body(Body::empty()).expect("a request");
        let response = bystander.send(request).await.expect("an answer");
        assert_eq!(response.into_body().bytes(100).await.expect("a body"), "hello");
    };
    ask().await;
    let hostile = endpoint.connect(&client(), to, NAME).expect("begun").await.expect("a connection");
    let mut streams: Vec<Stream> = Vec::new();
    let mut rest = input;
    for _ in 0..PIECES {
        let [what, length, later @ ..] = rest else { break };
        if hostile.close_reason().is_some() {
            break;
        }
        let (bytes, later) = later.split_at(usize::from(*length).min(later.len()));
        rest = later;
        let which = usize::from(what >> 3);
        match what & 7 {
            0 | 1 if streams.len() < 20 => {
                let opened = if what & 1 == 0 {
                    hostile.open_uni().await.map(|send| Stream { send, _receive: None })
                } else {
                    hostile.open_bi().await.map(|(send, receive)| Stream { send, _receive: Some(receive) })
                };
                let Ok(mut stream) = opened else { break };
                let _ = stream.send.write_all(bytes).await;
                streams.push(stream);
            }
            2 => {
                if let Some(stream) = streams.get_mut(which) {
                    let _ = stream.send.finish();
                }
            }
            3 => {
                if let Some(stream) = streams.get_mut(which) {
                    stream.send.reset(VarInt::from_u32(0x10c));
                }
            }
            4 => runtime.sleep(Duration::from_millis(u64::from(*length))).await,
            _ => {
                if let Some(stream) = streams.get_mut(which) {
                    let _ = stream.send.write_all(bytes).await;
                }
            }
        }
    }
    runtime.sleep(Duration::from_millis(100)).await;
    ask().await;
}

//! The HTTP/3 client: any bytes on any streams of a server, in pieces, with resets and ends between them. Never a panic;
//! every request ends, and another server is asked after all.
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
use shroud_ghostwire::http::{
    Body, ClientLimits, Http3Client, Limits, Method, Request, Router, Server, handler_fn, text,
};
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
/// What a request has, and each piece of its answer.
const LIMIT: Duration = Duration::from_secs(5);

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
    panic!("a request does not end");
});

async fn server(runtime: &MemoryRuntime) -> Endpoint<MemoryRuntime> {
    let mut tls = identity().server_tls();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = ServerConfig::new(Arc::new(tls));
    Endpoint::server(runtime, local(), &EndpointConfig::default(), &config).await.expect("a server")
}

async fn client(runtime: &MemoryRuntime) -> Http3Client<MemoryRuntime> {
    let mut tls = identity().client_tls();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = ClientConfig::new(Arc::new(tls), &Transport::default()).expect("valid");
    let endpoint = Endpoint::client(runtime, local(), &EndpointConfig::default()).await.expect("a client");
    let limits = ClientLimits { request_time: LIMIT, header_bytes: 4096, ..ClientLimits::default() };
    Http3Client::new(runtime.clone(), endpoint, config, limits).resolving(NAME, local().ip())
}

/// A stream of the hostile server.
struct Stream {
    send: SendStream,
    receive: Option<RecvStream>,
}

async fn story(runtime: MemoryRuntime, input: &[u8]) {
    let (hostile, good) = (server(&runtime).await, server(&runtime).await);
    let client = client(&runtime).await;
    let request = |method, port, body: &'static str| {
        let uri = format!("https://{NAME}:{port}/");
        Request::builder().method(method).uri(uri).body(Body::from(body)).expect("a request")
    };
    let port = hostile.local_addr().port();
    let mut asking = Vec::new();
    for (method, body) in [(Method::GET, ""), (Method::POST, "body"), (Method::HEAD, "")] {
        let (client, request) = (client.clone(), request(method, port, body));
        let inner = runtime.clone();
        asking.push(runtime.spawn("ask", async move {
            if let Ok(response) = client.send(request).await {
                let _ = inner.timeout(LIMIT, response.into_body().bytes(1000)).await;
            }
        }));
    }
    let connection = hostile.accept().await.expect("a client").await.expect("a connection");
    let mut streams: Vec<Stream> = Vec::new();
    let mut rest = input;
    for _ in 0..PIECES {
        let [what, length, later @ ..] = rest else { break };
        if connection.close_reason().is_some() {
            break;
        }
        let (bytes, later) = later.split_at(usize::from(*length).min(later.len()));
        rest = later;
        let which = usize::from(what >> 3);
        match what & 7 {
            0 if streams.len() < 20 => {
                let Ok(mut send) = connection.open_uni().await else { break };
                let _ = send.write_all(bytes).await;
                streams.push(Stream { send, receive: None });
            }
            // The next request, if there is one.
            1 => {
                let accepted = runtime.timeout(Duration::from_millis(50), connection.accept_bi()).await;
                let Ok(Ok((mut send, receive))) = accepted else { continue };
                let _ = send.write_all(bytes).await;
                streams.push(Stream { send, receive: Some(receive) });
            }
            2 => {
                if let Some(stream) = streams.get_mut(which) {
                    let _ = stream.send.finish();
                }
            }
            3 => {
                if let Some(stream) = streams.get_mut(which) {
                    let code = VarInt::from_u32(0x100 + u32::from(*length));
                    match &mut stream.receive {
                        Some(receive) if *length & 1 == 0 => receive.stop(code),
                        _ => stream.send.reset(code),
                    }
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
    for asked in asking {
        asked.await.expect("it ends well");
    }
    let handler = Router::new().get("/", handler_fn(|_| async { text("hello") }));
    let (port, inner) = (good.local_addr().port(), runtime.clone());
    let server = Server::new(handler, Limits::default()).expect("valid limits");
    let _serving = runtime.spawn("serve", async move { server.serve_http3(&inner, good).await });
    let response = client.send(request(Method::GET, port, "")).await.expect("an answer");
    assert_eq!(response.into_body().bytes(100).await.expect("a body"), "hello");
}

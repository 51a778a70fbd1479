//! The server of all transport workloads, on whatever backend it is run.

use super::{Addresses, Identity};
use bytes::Bytes;
use shroud_ghostwire::http::{Body, Http2Limits, Limits, Request, Router, Server, handler_fn, text};
use shroud_ghostwire::websocket::{self, Options, Policy, Settings};
use shroud_quic::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig, Transport};
use shroud_runtime::{ListenOptions, Listener as _, Runtime};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The body of every response.
pub const HELLO: &[u8] = b"Hello, world!";
/// Bytes that are written to a stream at once.
pub const PIECE: usize = 64 * 1024;
/// What bulk transfers consist of.
pub const BULK_BYTE: u8 = 7;
/// Connections of each protocol at a time.
const CONNECTIONS: usize = 20_000;
/// Longer than any measurement: what idles shall stay.
const LONG: Duration = Duration::from_secs(600);

/// Serves HTTP/1.1, HTTP/2 (in the clear) and WebSocket (`/ws`) over TCP, HTTP/3, and plain QUIC, each at a free port of
/// 127.0.0.1, until the runtime is asked to stop. `listening` is told where.
///
/// A QUIC stream begins with a big-endian `u64`: how many bytes the client wants. What else it sends is counted; the answer is
/// that count, then the bytes.
///
/// # Errors
/// When it cannot listen, or a server fails.
pub async fn serve<R: Runtime>(
    runtime: R,
    identity: Arc<Identity>,
    listening: impl FnOnce(Addresses) + Send,
) -> io::Result<()> {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = runtime.listen(local, ListenOptions { backlog: 4096, ..ListenOptions::default() }).await?;
    let http3 = endpoint(&runtime, &identity, b"h3").await?;
    let quic = endpoint(&runtime, &identity, b"bench").await?;
    let addresses =
        Addresses { tcp: listener.local_addr()?, http3: http3.local_addr(), quic: quic.local_addr() };
    let server = Server::new(routes(), limits()).map_err(io::Error::other)?;
    let tcp = {
        let (runtime, server) = (runtime.clone(), server.clone());
        runtime.clone().spawn("tcp", async move { server.serve(&runtime, listener).await })
    };
    let udp = {
        let runtime = runtime.clone();
        runtime.clone().spawn("http3", async move { server.serve_http3(&runtime, http3).await })
    };
    let streams = runtime.spawn("quic", streams(runtime.clone(), quic));
    listening(addresses);
    tcp.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
    udp.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
    streams.await.map_err(io::Error::other)
}

async fn endpoint<R: Runtime>(runtime: &R, identity: &Identity, protocol: &[u8]) -> io::Result<Endpoint<R>> {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = ServerConfig::new(identity.server(protocol).map_err(io::Error::other)?);
    config.limits.connections = CONNECTIONS;
    config.transport = Transport { idle_timeout: Some(LONG), ..Transport::default() };
    let made = Endpoint::server(runtime, local, &EndpointConfig::default(), &config).await;
    made.map_err(io::Error::other)
}

fn limits() -> Limits {
    let http2 = Http2Limits { ping_interval: LONG, ..Http2Limits::default() };
    Limits {
        connections: CONNECTIONS,
        idle_time: LONG,
        // Nobody is to be waited for when the measurement is over.
        drain_time: Duration::from_millis(1),
        http2,
        ..Limits::default()
    }
}

fn routes() -> Router {
    let hello = || handler_fn(|_: Request<Body>| async { text(Bytes::from_static(HELLO)) });
    let options = Options {
        // Peers have no compression.
        policy: Policy::default(),
        settings: Settings { ping_after: None, ..Settings::default() },
        ..Options::default()
    };
    let echo = websocket::serve(options, |mut socket, _| async move {
        while let Ok(Some(message)) = socket.receive().await {
            if socket.feed(message).await.is_err() {
                return;
            }
        }
    });
    Router::new().get("/", hello()).get("/plain", hello()).get("/ws", echo)
}

async fn streams<R: Runtime>(runtime: R, endpoint: Endpoint<R>) {
    let accept = async {
        while let Some(connecting) = endpoint.accept().await {
            let inner = runtime.clone();
            let connection = async move {
                let Ok(connection) = connecting.await else { return };
                while let Ok((send, receive)) = connection.accept_bi().await {
                    inner.spawn("stream", stream(connection.clone(), send, receive)).detach();
                }
            };
            runtime.spawn("connection", connection).detach();
        }
    };
    runtime.stopping().run_until(accept).await;
}

/// A stream that breaks is its client's affair: it does not get what it waits for.
async fn stream(_connection: Connection, mut send: SendStream, mut receive: RecvStream) {
    let mut head = [0; 8];
    let mut read = 0;
    while read < head.len() {
        match receive.read(&mut head[read..]).await {
            Ok(0) | Err(_) => return,
            Ok(more) => read += more,
        }
    }
    let mut received = 0_u64;
    loop {
        match receive.read_chunk(usize::MAX).await {
            Ok(Some(chunk)) => received += chunk.len() as u64,
            Ok(None) => break,
            Err(_) => return,
        }
    }
    if send.write_all(&received.to_be_bytes()).await.is_err() {
        return;
    }
    let piece = Bytes::from(vec![BULK_BYTE; PIECE]);
    let mut left = u64::from_be_bytes(head);
    while left > 0 {
        let next = piece.slice(..PIECE.min(usize::try_from(left).unwrap_or(PIECE)));
        left -= next.len() as u64;
        if send.write_chunk(next).await.is_err() {
            return;
        }
    }
    if send.finish().is_ok() {
        let _ = send.stopped().await;
    }
}

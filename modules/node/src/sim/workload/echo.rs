//! An HTTP server that answers what it was sent, and clients that hold it to that: the transport by itself.

use super::client::Notebook;
use super::tls::{self, NAME};
use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use shroud_ghostwire::http::{
    Body, Client, ClientLimits, Limits, Request, Router, Server, StatusCode, handler_fn, status, text,
};
use shroud_io_sim::chance::Chance;
use shroud_runtime::{ConnectOptions, ListenOptions, Runtime, RuntimeExt};
use shroud_rustls::rustls::{ClientConfig, ServerConfig};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The largest body.
const MAX_BODY: u64 = 100 << 10;
/// Answers take fewer milliseconds than this.
const LONGEST: u64 = 300;
/// Where the server listens behind what does TLS for it.
const INSIDE: u16 = 8_000;
/// How long a client waits before it sends something again.
const WAIT: Duration = Duration::from_millis(100);
/// How long a plain connection may take for one exchange.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves until the host is asked to stop: behind a front that does TLS, if there is a configuration for it.
///
/// # Errors
/// A sentence.
pub async fn serve<R: Runtime>(
    runtime: R,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
) -> Result<(), String> {
    let clock = runtime.clone();
    let echo = handler_fn(move |request: Request<Body>| {
        let clock = clock.clone();
        async move {
            let Ok(bytes) = request.into_body().bytes(MAX_BODY).await else {
                return status(StatusCode::BAD_REQUEST);
            };
            // Some answers take a while: a client may have said by then that it has nothing more to send.
            clock.sleep(Duration::from_millis(bytes.len() as u64 % LONGEST)).await;
            text(bytes)
        }
    });
    let server = Server::new(Router::new().post("/echo", echo), Limits::default());
    let server = server.map_err(|error| error.to_string())?;
    let Some(tls) = tls else {
        let listener = listen(&runtime, address).await?;
        return server.serve(&runtime, listener).await.map_err(|error| error.to_string());
    };
    let inside = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), INSIDE);
    let (front, back) = (listen(&runtime, address).await?, listen(&runtime, inside).await?);
    let front = tls::terminate(runtime.clone(), front, inside, tls);
    let front = runtime.spawn("tls-front", front);
    let served = server.serve(&runtime, back).await.map_err(|error| error.to_string());
    drop(front);
    served
}

async fn listen<R: Runtime>(runtime: &R, address: SocketAddr) -> Result<R::Listener, String> {
    runtime.listen(address, ListenOptions::default()).await.map_err(|error| error.to_string())
}

/// Has so many bodies echoed, each until it comes back, one in four over a plain connection that is half closed once the
/// request is sent. With TLS each has a connection of its own, and most resume a session.
pub async fn ask<R: Runtime>(
    runtime: R,
    server: SocketAddr,
    count: u32,
    pause: Duration,
    mut chance: Chance,
    notebook: Notebook,
    tls: Option<Arc<ClientConfig>>,
) {
    let client = Client::new(runtime.clone(), ClientLimits::default());
    for _ in 0..count {
        let pause = chance.below(u64::try_from(pause.as_micros()).unwrap_or(0));
        runtime.sleep(Duration::from_micros(pause)).await;
        let most = [100, 5_000, MAX_BODY].get(chance.index(3)).copied().unwrap_or(100);
        let mut body = vec![0; usize::try_from(chance.between(1, most)).unwrap_or(1)];
        chance.fill(&mut body);
        let half_close = chance.below(4) == 0;
        loop {
            let answer = match &tls {
                Some(tls) => secure(&runtime, server, &body, tls, half_close).await,
                None if half_close => plain(&runtime, server, &body).await,
                None => whole(&client, server, &body).await,
            };
            match answer {
                Some(answer) if answer == body => break,
                Some(answer) => {
                    let (sent, got) = (body.len(), answer.len());
                    notebook.complain(format!("{sent} bytes were echoed as {got} other bytes"));
                    break;
                }
                None => runtime.sleep(WAIT).await,
            }
        }
    }
    notebook.finish();
}

async fn whole<R: Runtime>(client: &Client<R>, server: SocketAddr, body: &[u8]) -> Option<Vec<u8>> {
    let request = Request::post(format!("http://{server}/echo")).body(body.to_vec().into()).ok()?;
    let response = client.send(request).await.ok()?;
    (response.status() == StatusCode::OK).then(|| response.into_body().to_vec())
}

/// As a simple tool does: sends the request, says that it has nothing more to say, and reads to the end.
async fn plain<R: Runtime>(runtime: &R, server: SocketAddr, body: &[u8]) -> Option<Vec<u8>> {
    let exchange = async {
        let stream = runtime.connect(server, ConnectOptions::default()).await?;
        exchange(stream, body, true).await
    };
    runtime.timeout(PATIENCE, exchange).await.ok()?.ok().and_then(|answer| body_of(&answer))
}

/// The same over TLS. An answer that ends without the server's word that it has ended is none: it may have been cut.
async fn secure<R: Runtime>(
    runtime: &R,
    server: SocketAddr,
    body: &[u8],
    tls: &Arc<ClientConfig>,
    half_close: bool,
) -> Option<Vec<u8>> {
    let exchange = async {
        let stream = runtime.connect(server, ConnectOptions::default()).await?;
        let stream = shroud_rustls::connect(stream, tls, NAME).await;
        exchange(stream.map_err(|failed| std::io::Error::other(failed.error))?, body, half_close).await
    };
    runtime.timeout(PATIENCE, exchange).await.ok()?.ok().and_then(|answer| body_of(&answer))
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    body: &[u8],
    half_close: bool,
) -> std::io::Result<Vec<u8>> {
    let length = body.len();
    let head =
        format!("POST /echo HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await?;
    if half_close {
        stream.close().await?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn body_of(answer: &[u8]) -> Option<Vec<u8>> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    answer.starts_with(b"HTTP/1.1 200 ").then(|| answer.get(end..).unwrap_or_default().to_vec())
}

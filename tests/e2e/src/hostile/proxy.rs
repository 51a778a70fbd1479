//! The reverse proxy: what HTTP's servers withstand, with a server behind it that has the same handler.

use super::http1::{full_pipelines, impatient, long_headers, slow_peers};
use super::http2::{handler, long_blocks, shut_windows, streams_reset};
use super::stage::{Place, at};
use crate::http::{Served, serve};
use crate::proxy::support::{Proxied, Speaks, group, server};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud::ghostwire::http::Limits;
use shroud::ghostwire::proxy::{Config, Route};
use shroud::runtime::net::{ListenOptions, ListenerExt};
use shroud::runtime::{Listener, Runtime};
use std::net::SocketAddr;

/// A proxy, in its place, and what is behind it.
async fn proxied<R: Runtime>(runtime: &R) -> Served {
    // On the attacker's thread, so that its work is not the proxy's.
    let behind = serve(runtime, handler(), Limits::default()).await;
    proxied_before(runtime, behind.address, behind).await
}

/// The same before a server at this address, which is there as long as what it is `held` by.
async fn proxied_before<R: Runtime>(runtime: &R, behind: SocketAddr, held: impl Send + 'static) -> Served {
    // One for the bystander, on that one's thread.
    let quiet = |runtime: R| async move { serve(&runtime, handler(), Limits::default()).await };
    let quiet = at(runtime, Place::Bystander, quiet).await;
    let to = |address| group(vec![server(Speaks::Http1, address)]);
    let upstreams = [("attacker".to_owned(), to(behind)), ("bystander".to_owned(), to(quiet.address))];
    let attacked = ["/large", "/never", "/echo"];
    let routes = attacked.map(|path| Route { path: path.to_owned(), ..Route::to("attacker") });
    let config = Config {
        limits: impatient(),
        upstreams: upstreams.into(),
        routes: routes.into_iter().chain([Route::to("bystander")]).collect(),
        ..Config::default()
    };
    let start = move |runtime: R| async move { Proxied::start(&runtime, config).await };
    let proxied = at(runtime, Place::Server, start).await;
    let (address, metrics) = (proxied.address, proxied.metrics.clone());
    // All for as long as the test holds what it is given.
    let task = async move {
        let _all = (proxied, held, quiet);
        std::future::pending().await
    };
    Served { address, metrics, task: runtime.spawn("hold", task) }
}

/// As for a server.
pub async fn proxied_slowloris<R: Runtime>(runtime: R) {
    slow_peers(&runtime, &proxied(&runtime).await).await;
}

/// As for a server.
pub async fn proxied_headers_and_targets<R: Runtime>(runtime: R) {
    long_headers(&runtime, &proxied(&runtime).await).await;
}

/// As for a server.
pub async fn proxied_pipelines<R: Runtime>(runtime: R) {
    full_pipelines(&runtime, &proxied(&runtime).await).await;
}

/// As for a server: none of the requests may stay with the server behind.
pub async fn proxied_resets<R: Runtime>(runtime: R) {
    streams_reset(&runtime, &proxied(&runtime).await).await;
}

/// As for a server.
pub async fn proxied_header_blocks<R: Runtime>(runtime: R) {
    long_blocks(&runtime, &proxied(&runtime).await).await;
}

/// As for a server: what a client does not take is not taken from the server behind. With fewer requests than that may have
/// at a time, since others are refused beyond.
pub async fn proxied_windows<R: Runtime>(runtime: R) {
    let listener =
        runtime.listen(crate::one_port::LOCAL, ListenOptions::default()).await.expect("a listener");
    let behind = listener.local_addr().expect("its address");
    let large = runtime.spawn("large", serve_large(runtime.clone(), listener));
    shut_windows(&runtime, &proxied_before(&runtime, behind, large).await, 10).await;
}

/// Answers every request with 4 MiB, and keeps next to nothing for that: what the process grows by is the proxy's.
async fn serve_large<R: Runtime>(runtime: R, mut listener: R::Listener) {
    static LARGE: [u8; 4 << 20] = [b'x'; 4 << 20];
    while let Ok((mut stream, _)) = listener.accept().await {
        let answering = runtime.spawn("large", async move {
            let (mut head, mut filled) = ([0; 1024], 0);
            loop {
                match stream.read(&mut head[filled..]).await {
                    Ok(read) if read > 0 => filled += read,
                    _ => return,
                }
                if !head[..filled].ends_with(b"\r\n\r\n") {
                    continue;
                }
                filled = 0;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", LARGE.len());
                if stream.write_all(answer.as_bytes()).await.is_err()
                    || stream.write_all(&LARGE).await.is_err()
                {
                    return;
                }
            }
        });
        answering.detach();
    }
}

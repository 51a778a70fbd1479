//! The reverse proxy: what HTTP's servers withstand, with a server behind it that has the same handler.

use super::http1::{full_pipelines, impatient, long_headers, slow_peers};
use super::http2::{handler, long_blocks, shut_windows, streams_reset};
use super::stage::{Place, at};
use crate::http::{Served, serve};
use crate::proxy::support::{Proxied, Speaks, group, server};
use shroud::ghostwire::http::Limits;
use shroud::ghostwire::proxy::{Config, Route};
use shroud::runtime::Runtime;

/// A proxy, in its place, and what is behind it.
async fn proxied<R: Runtime>(runtime: &R) -> Served {
    // On the attacker's thread, so that its work is not the proxy's; and one for the bystander, on that one's.
    let behind = serve(runtime, handler(), Limits::default()).await;
    let quiet = |runtime: R| async move { serve(&runtime, handler(), Limits::default()).await };
    let quiet = at(runtime, Place::Bystander, quiet).await;
    let to = |served: &Served| group(vec![server(Speaks::Http1, served.address)]);
    let upstreams = [("attacker".to_owned(), to(&behind)), ("bystander".to_owned(), to(&quiet))];
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
        let _all = (proxied, behind, quiet);
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
    shut_windows(&runtime, &proxied(&runtime).await, 10).await;
}

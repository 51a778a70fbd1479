//! Many connections at a time, of every protocol, each of them served. (`shroud-bench connections` holds ten thousand of one.)
//!
//! A program of its own: it needs most of the descriptors that a process may have.

use futures_util::future::join;
use shroud::backends;
use shroud::runtime::Runtime;
use shroud::runtime::sync::channel;
use shroud_bench::proc::{Machine, Process};
use shroud_bench::transport::{Http1, Http2, Identity, KeyExchange, Turns, WebSocket, hold, serve};
use std::net::SocketAddr;
use std::sync::Arc;

/// Connections of each protocol.
const CONNECTIONS: usize = 1_000;
/// Both ends of three protocols over TCP are in this process, and as much again for a test that runs beside this one.
const DESCRIPTORS: u64 = 2 * 2 * 3;

/// A thousand connections of each of HTTP/1.1, HTTP/2, WebSocket and QUIC are open together, and each is served twice.
async fn a_thousand_of_each_protocol<R: Runtime>(runtime: R) {
    let most = Machine::read().descriptor_limit / DESCRIPTORS;
    let count = CONNECTIONS.min(usize::try_from(most).expect("a number of descriptors") * 9 / 10);
    let identity = Arc::new(Identity::generate(KeyExchange::X25519).expect("an identity"));
    let (tell, told) = channel::bounded(1);
    let server = serve(runtime.clone(), Arc::clone(&identity), move |addresses| {
        tell.try_send(addresses).expect("nobody has been told before");
    });
    let server = runtime.spawn("server", server);
    let addresses = told.recv().await.expect("the server listens");
    let tcp = runtime.offload(move || over_tcp(addresses.tcp, count));
    let process = Process::new(std::process::id()).expect("this process");
    let quic = hold(runtime.clone(), addresses.quic, &identity, process, vec![count / 2, count]);
    let (tcp, quic) = join(tcp, quic).await;
    assert_eq!(tcp.expect("the client ends"), Ok(3 * 2 * count as u64));
    let held: Vec<usize> = quic.expect("no error").iter().map(|held| held.connections).collect();
    assert_eq!(held, [count / 2, count]);
    drop(server);
}

macro_rules! on {
    ($($name:ident: $backend:expr,)*) => {
        $(#[test]
        fn $name() {
            /// The compiler proves `Send` for any runtime, where it does not for a named one.
            fn any<R: Runtime>(runtime: R) -> impl Future<Output = ()> + Send {
                a_thousand_of_each_protocol(runtime)
            }
            shroud_e2e::run(&$backend, 1, any);
        })*
    };
}

on! {
    tokio: backends::tokio::Tokio,
    tokio_per_core: backends::tokio::TokioPerCore,
    smol: backends::smol::Smol,
    smol_per_core: backends::smol::SmolPerCore,
    tokio_async_io: backends::matched::TokioAsyncIo,
    glommio: backends::glommio::Glommio,
}

/// All connections of all three stay open until all were served twice; how many answers there were.
fn over_tcp(address: SocketAddr, count: usize) -> Result<u64, String> {
    let mut http1 = Turns::new(Http1, address).map_err(|error| error.to_string())?;
    let mut http2 = Turns::new(Http2::new(1), address).map_err(|error| error.to_string())?;
    let mut websocket = Turns::new(WebSocket::new(64, 1), address).map_err(|error| error.to_string())?;
    http1.grow(count)?;
    http2.grow(count)?;
    websocket.grow(count)?;
    let mut answers = 0;
    for _ in 0..2 {
        answers += http1.once()?.operations + http2.once()?.operations + websocket.once()?.operations;
    }
    Ok(answers)
}

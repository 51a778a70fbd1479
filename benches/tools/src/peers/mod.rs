//! The peers: each as its own documentation or example advises, on Tokio's current thread.

mod fastwebsockets;
mod hyper;
mod quinn;

use crate::arms::{Program, run_on};
use shroud_bench::transport::{Addresses, Identity, serve, stop_at_end_of_input};
use shroud_runtime::Runtime;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

/// QUIC: quinn on its own Tokio endpoint.
pub(crate) const QUINN: &str = "quinn";
/// HTTP/3: h3 over quinn.
pub(crate) const H3_QUINN: &str = "h3-quinn";
/// HTTP/2: hyper's own server.
pub(crate) const HYPER: &str = "hyper";
/// WebSocket.
pub(crate) const FASTWEBSOCKETS: &str = "fastwebsockets";

/// Serves all transports on a backend, or what a peer serves, until standard input ends.
pub(crate) fn serve_transport(arm: &str) -> Result<(), Box<dyn Error>> {
    let identity = Arc::new(stop_at_end_of_input(|| std::process::exit(0))?);
    let peer = async {
        match arm {
            QUINN => quinn::streams(&identity).await,
            H3_QUINN => quinn::http3(&identity).await,
            HYPER => hyper::serve().await,
            _ => fastwebsockets::serve().await,
        }
    };
    match arm {
        QUINN | H3_QUINN | HYPER | FASTWEBSOCKETS => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(peer)
        }
        backend => run_on(backend, Ours(Arc::clone(&identity))),
    }
}

#[derive(Clone)]
struct Ours(Arc<Identity>);

impl Program for Ours {
    async fn main<R: Runtime>(self, runtime: R) -> std::io::Result<()> {
        serve(runtime, self.0, |addresses| println!("{addresses}")).await
    }
}

fn listening(address: SocketAddr) {
    println!("{}", Addresses::all(address));
}

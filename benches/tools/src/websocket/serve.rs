//! The echo servers.

use super::PEER;
use crate::arms::{Program, listening, local, run_on};
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use shroud::ghostwire::http::{Limits, Router, Server};
use shroud::ghostwire::websocket::{self, Options, Policy};
use shroud_runtime::Runtime;
use shroud_runtime::net::{ListenOptions, Listener};
use std::error::Error;
use std::io;
use tokio::net::TcpListener;

/// Echoes on a backend, or as the peer does, until the process is killed.
pub(crate) fn serve(arm: &str) -> Result<(), Box<dyn Error>> {
    if arm == PEER { peer() } else { run_on(arm, Ours) }
}

#[derive(Clone)]
struct Ours;

impl Program for Ours {
    async fn main<R: Runtime>(self, runtime: R) -> io::Result<()> {
        let listener = runtime.listen(local(), ListenOptions::default()).await?;
        listening(listener.local_addr()?);
        // The peer has no compression.
        let options = Options { policy: Policy::default(), ..Options::default() };
        let echo = websocket::serve(options, |mut socket, _| async move {
            while let Ok(Some(message)) = socket.receive().await {
                if socket.feed(message).await.is_err() {
                    return;
                }
            }
        });
        let server =
            Server::new(Router::new().get("/", echo), Limits::default()).map_err(io::Error::other)?;
        server.serve(&runtime, listener).await.map_err(io::Error::other)
    }
}

/// As fastwebsockets' own `echo_server` example.
fn peer() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(local()).await?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let connection = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(open))
                    .with_upgrades();
                if let Err(error) = connection.await {
                    eprintln!("{error}");
                }
            });
        }
    })
}

async fn open(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, socket) = upgrade::upgrade(&mut request)?;
    tokio::spawn(async move {
        if let Err(error) = tokio::task::unconstrained(echo(socket)).await {
            eprintln!("{error}");
        }
    });
    Ok(response)
}

async fn echo(socket: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(socket.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

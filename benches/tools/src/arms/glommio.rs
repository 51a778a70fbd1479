//! On glommio's own API, tasks and sockets pinned to their thread.

use super::{builder, hello, listening, local};
use glommio::net::TcpListener;
use glommio::{LocalExecutorBuilder, Placement};
use hyper::service::service_fn;
use smol_hyper::rt::FuturesIo;
use std::error::Error;

/// Bytes of ring memory: the default exceeds the usual limit for locked memory.
const RING_MEMORY: usize = 64 << 10;

/// Serves with one executor.
pub(super) fn serve() -> Result<(), Box<dyn Error>> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(RING_MEMORY).make();
    let executor = executor.map_err(|error| error.to_string())?;
    executor.run(accept()).map_err(|error| error.to_string())?;
    Ok(())
}

async fn accept() -> glommio::Result<(), ()> {
    let listener = TcpListener::bind(local())?;
    listening(listener.local_addr()?);
    loop {
        let stream = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = async move {
            let _ = builder().serve_connection(FuturesIo::new(stream), service_fn(hello)).await;
        };
        glommio::spawn_local(connection).detach();
    }
}

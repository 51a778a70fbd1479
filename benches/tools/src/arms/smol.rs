//! On smol's own API (async-executor, async-io), with smol-hyper's binding.

use super::{builder, hello, listening, local};
use async_executor::Executor;
use async_io::Async;
use hyper::service::service_fn;
use smol_hyper::rt::FuturesIo;
use std::error::Error;
use std::net::TcpListener;
use std::sync::Arc;

/// Serves with a work-stealing executor on one thread.
pub(super) fn serve() -> Result<(), Box<dyn Error>> {
    let executor: Arc<Executor<'static>> = Arc::default();
    async_io::block_on(executor.run(accept(&executor)))?;
    Ok(())
}

async fn accept(executor: &Executor<'static>) -> std::io::Result<()> {
    let listener = Async::<TcpListener>::bind(local())?;
    listening(listener.get_ref().local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.get_ref().set_nodelay(true)?;
        let connection = async move {
            let _ = builder().serve_connection(FuturesIo::new(stream), service_fn(hello)).await;
        };
        executor.spawn(connection).detach();
    }
}

//! On Tokio's own API, with hyper-util's binding, all drivers enabled as `#[tokio::main]` does.

use super::{builder, hello, listening, local};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::error::Error;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// Serves on the work-stealing runtime with one worker, or on the current thread.
pub(super) fn serve(work_stealing: bool) -> Result<(), Box<dyn Error>> {
    let mut runtime = if work_stealing { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    let runtime = runtime.worker_threads(1).enable_all().build()?;
    if work_stealing {
        // As over the seam, where everything runs on a worker: the thread in `block_on` would be a second one.
        runtime.block_on(async { tokio::spawn(accept()).await })??;
    } else {
        runtime.block_on(accept())?;
    }
    Ok(())
}

async fn accept() -> std::io::Result<()> {
    let listener = TcpListener::bind(local()).await?;
    listening(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let _ = builder().serve_connection(TokioIo::new(stream), service_fn(hello)).await;
        });
    }
}

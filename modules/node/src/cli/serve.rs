//! `shroud serve`: a directory over HTTP.

use super::Failure;
use super::node::{start_logging, stop_on_signals, write_whole};
use super::output::say;
use crate::backends::{SIMULATED, Visit, with_backend};
use clap::Args;
use shroud_ghostwire::http::{
    Compressed, FileOptions, Files, Handler, Limits, Logged, Metrics, SecurityHeaders, Server,
};
use shroud_runtime::net::Listener as _;
use shroud_runtime::sync::OnceCell;
use shroud_runtime::{Backend, BlockFile as _, Config, FileKind, ListenOptions, OpenOptions, Runtime};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Serve the files of a directory over HTTP: ranges, conditional requests, compression
#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// The directory; index.html stands for a directory in it, names that begin with a dot are not served
    directory: PathBuf,
    /// Who runs the server; `shroud backends` lists them
    #[arg(long, env = "SHROUD_BACKEND", default_value = "tokio")]
    backend: String,
    /// Where to listen; port 0 picks a free one
    #[arg(long, env = "SHROUD_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Worker threads, or shards of a per-core backend [default: all cores]
    #[arg(long, env = "SHROUD_CORES")]
    cores: Option<NonZeroUsize>,
    /// Serve names that begin with a dot too
    #[arg(long)]
    hidden: bool,
    /// Do not compress on the way; files that lie compressed beside the plain ones (.zst, .br, .gz) are served all the same
    #[arg(long)]
    no_compression: bool,
    /// Write the server's URL to this file once it accepts connections
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        start_logging();
        if self.backend == SIMULATED {
            return Err(Failure::usage("backend sim has no real network: it can serve nobody"));
        }
        let mut config = Config::default();
        config.cores = self.cores.unwrap_or(config.cores);
        stop_on_signals(config.stop.clone())?;
        let backend = self.backend.clone();
        with_backend(&backend, Start { serve: self, config }).map_err(Failure::usage)?
    }
}

struct Start {
    serve: Serve,
    config: Config,
}

/// What the shards share.
struct Shared {
    serve: Serve,
    /// The address that the first shard bound; none when it could not.
    bound: OnceCell<Option<SocketAddr>>,
    metrics: Metrics,
}

impl Visit for Start {
    type Output = Result<(), Failure>;

    fn visit<B: Backend>(self, backend: B) -> Self::Output {
        let name = backend.name();
        let shared = Arc::new(Shared { serve: self.serve, bound: OnceCell::new(), metrics: Metrics::new() });
        let results = backend
            .run(&self.config, move |runtime| shard(runtime, Arc::clone(&shared)))
            .map_err(Failure::of(format_args!("backend {name}")))?;
        for result in results {
            result.map_err(Failure::new)??;
        }
        Ok(())
    }
}

async fn shard<R: Runtime>(runtime: R, shared: Arc<Shared>) -> Result<(), Failure> {
    let result = serve(&runtime, &shared).await;
    if result.is_err() {
        // One shard down: all go down, in order.
        let _ = shared.bound.set(None).await;
        runtime.stopping().cancel();
    }
    result
}

async fn serve<R: Runtime>(runtime: &R, shared: &Shared) -> Result<(), Failure> {
    let Serve { directory, listen, hidden, no_compression, ready_file, .. } = &shared.serve;
    let options = ListenOptions { reuse_port: runtime.shard().count > 1, ..ListenOptions::default() };
    let listener = if runtime.shard().index == 0 {
        check(runtime, directory).await.map_err(Failure::of(directory.display()))?;
        let listener = runtime.listen(*listen, options).await.map_err(Failure::of(listen))?;
        let address = listener.local_addr().map_err(Failure::of(listen))?;
        let _ = shared.bound.set(Some(address)).await;
        say(format_args!("serving {} on http://{address}", directory.display()));
        if let Some(path) = ready_file {
            write_whole(path, &format!("http://{address}")).map_err(Failure::of(path.display()))?;
        }
        listener
    } else {
        // The first shard says what was wrong.
        let Some(address) = *shared.bound.wait().await else { return Ok(()) };
        runtime.listen(address, options).await.map_err(Failure::of(address))?
    };
    let options = FileOptions { hidden: *hidden, ..FileOptions::default() };
    let files = Files::new(runtime.clone(), directory, options);
    if *no_compression {
        answer(runtime, listener, &shared.metrics, files).await
    } else {
        answer(runtime, listener, &shared.metrics, Compressed::new(files)).await
    }
}

async fn answer<R: Runtime>(
    runtime: &R,
    listener: R::Listener,
    metrics: &Metrics,
    handler: impl Handler,
) -> Result<(), Failure> {
    let handler = Logged::new(runtime.clone(), SecurityHeaders::new(handler));
    let server =
        Server::new(handler, Limits::default()).map_err(Failure::usage)?.with_metrics(metrics.clone());
    server.serve(runtime, listener).await.map_err(Failure::new)
}

async fn check<R: Runtime>(runtime: &R, directory: &Path) -> io::Result<()> {
    let status = runtime.open(directory, OpenOptions::reading()).await?.status().await?;
    if status.kind == FileKind::Directory { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

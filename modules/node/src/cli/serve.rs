//! `shroud serve`: a directory over HTTP, all versions on one port.

use super::Failure;
use super::node::{listen_to_signals, start_logging, write_whole};
use super::output::say;
use super::tls::TlsFlags;
use crate::backends::{SIMULATED, Visit, with_backend};
use crate::certificate::{self, Upkeep};
use crate::node::CertificateSource;
use clap::Args;
use shroud_ghostwire::http::{
    Compressed, FileOptions, Files, Handler, Limits, Logged, Metrics, OnePort, Port, SecurityHeaders, Server,
};
use shroud_runtime::sync::{OnceCell, channel};
use shroud_runtime::{Backend, BlockFile as _, Config, FileKind, OpenOptions, Runtime};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Serve the files of a directory over HTTP/1.1 and HTTP/2, and with TLS over HTTP/3 too, on one port: ranges, conditional
/// requests, compression
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
    /// No HTTP/3: leave UDP alone
    #[arg(long)]
    no_http3: bool,
    /// Write the server's URL to this file once it accepts connections
    #[arg(long)]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsFlags,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        start_logging();
        if self.backend == SIMULATED {
            return Err(Failure::usage("backend sim has no real network: it can serve nobody"));
        }
        let mut config = Config::default();
        config.cores = self.cores.unwrap_or(config.cores);
        let certificate = self.tls.certificate()?;
        let reload = listen_to_signals(config.stop.clone(), certificate.is_some())?;
        let backend = self.backend.clone();
        with_backend(&backend, Start { serve: self, config, certificate, reload }).map_err(Failure::usage)?
    }
}

struct Start {
    serve: Serve,
    config: Config,
    certificate: Option<CertificateSource>,
    reload: Option<channel::Receiver<()>>,
}

/// What the shards share.
struct Shared {
    serve: Serve,
    certificate: Option<CertificateSource>,
    reload: Option<channel::Receiver<()>>,
    /// Where to serve, as the first shard has settled it; none when it could not.
    on: OnceCell<Option<OnePort>>,
    /// Shards that accept connections.
    listening: AtomicUsize,
    metrics: Metrics,
}

impl Visit for Start {
    type Output = Result<(), Failure>;

    fn visit<B: Backend>(self, backend: B) -> Self::Output {
        let name = backend.name();
        let shared = Arc::new(Shared {
            serve: self.serve,
            certificate: self.certificate,
            reload: self.reload,
            on: OnceCell::new(),
            listening: AtomicUsize::new(0),
            metrics: Metrics::new(),
        });
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
        let _ = shared.on.set(None).await;
        runtime.stopping().cancel();
    }
    result
}

async fn serve<R: Runtime>(runtime: &R, shared: &Shared) -> Result<(), Failure> {
    let Serve { directory, hidden, no_compression, .. } = &shared.serve;
    let (port, upkeep) = if runtime.shard().index == 0 {
        check(runtime, directory).await.map_err(Failure::of(directory.display()))?;
        let (on, upkeep) = first(runtime, shared).await?;
        let port = on.bind(runtime).await.map_err(Failure::new)?;
        let _ = shared.on.set(Some(on)).await;
        (port, upkeep)
    } else {
        // The first shard says what was wrong.
        let Some(on) = shared.on.wait().await else { return Ok(()) };
        (on.bind(runtime).await.map_err(Failure::new)?, None)
    };
    if shared.listening.fetch_add(1, Ordering::SeqCst) + 1 == runtime.shard().count {
        announce(&shared.serve, &port, shared.certificate.is_some())?;
    }
    let _upkeep = upkeep.map(|upkeep| upkeep.begin(runtime));
    let options = FileOptions { hidden: *hidden, ..FileOptions::default() };
    let files = Files::new(runtime.clone(), directory, options);
    if *no_compression {
        answer(runtime, port, &shared.metrics, files).await
    } else {
        answer(runtime, port, &shared.metrics, Compressed::new(files)).await
    }
}

/// Where to serve, and what keeps the certificate in order.
async fn first<R: Runtime>(runtime: &R, shared: &Shared) -> Result<(OnePort, Option<Upkeep<R>>), Failure> {
    let on = OnePort::new(shared.serve.listen);
    let Some(source) = &shared.certificate else { return Ok((on, None)) };
    let (tls, upkeep) =
        certificate::tls(runtime, source, shared.reload.clone()).await.map_err(Failure::new)?;
    let on = on.with_tls(tls);
    Ok((if shared.serve.no_http3 { on.without_http3() } else { on }, upkeep))
}

/// Says where the server is, once all shards accept connections.
fn announce<R: Runtime>(serve: &Serve, port: &Port<R>, tls: bool) -> Result<(), Failure> {
    let url = format!("{}://{}", if tls { "https" } else { "http" }, port.local_addr());
    let versions = if port.has_http3() { "HTTP/1.1, HTTP/2, HTTP/3" } else { "HTTP/1.1, HTTP/2" };
    say(format_args!("serving {} on {url} ({versions})", serve.directory.display()));
    match &serve.ready_file {
        Some(path) => write_whole(path, &url).map_err(Failure::of(path.display())),
        None => Ok(()),
    }
}

async fn answer<R: Runtime>(
    runtime: &R,
    port: Port<R>,
    metrics: &Metrics,
    handler: impl Handler,
) -> Result<(), Failure> {
    let handler = Logged::new(runtime.clone(), SecurityHeaders::new(handler));
    let server =
        Server::new(handler, Limits::default()).map_err(Failure::usage)?.with_metrics(metrics.clone());
    server.serve_port(runtime, port).await.map_err(Failure::new)
}

async fn check<R: Runtime>(runtime: &R, directory: &Path) -> io::Result<()> {
    let status = runtime.open(directory, OpenOptions::reading()).await?.status().await?;
    if status.kind == FileKind::Directory { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

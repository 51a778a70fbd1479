//! `shroud dns serve`: zones from files, over every transport.

use super::Failure;
use super::node::{listen_to_signals, start_logging, write_whole};
use super::output::say;
use crate::backends::{SIMULATED, Visit, with_backend};
use clap::Args;
use shroud_ghostwire::dns::{ALPN_QUIC, ALPN_TLS, Limits, Name, Server, Zone, Zones, quic_config};
use shroud_ghostwire::http::{self, OnePort, Router, Tls};
use shroud_ghostwire::tls::{Certificate, Certificates, SeamClock, ServerOptions, provider};
use shroud_quic::{Endpoint, EndpointConfig, Group, Secrets};
use shroud_runtime::flow::try_join_all;
use shroud_runtime::net::{Datagram as _, DatagramOptions, Listener as _};
use shroud_runtime::sync::OnceCell;
use shroud_runtime::{Backend, Config, ListenOptions, Runtime};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

/// Tries to find a port that is free over UDP and TCP.
const PORT_TRIES: u32 = 16;

#[derive(Debug, Clone, Args)]
pub(crate) struct DnsServe {
    /// A zone in the master format (RFC 1035), with its SOA; may be given several times
    #[arg(long = "zone", value_name = "FILE", required = true)]
    zones: Vec<PathBuf>,
    /// Who runs the server; `shroud backends` lists them
    #[arg(long, env = "SHROUD_BACKEND", default_value = "tokio")]
    backend: String,
    /// Where to listen over UDP and TCP; port 0 picks a free one
    #[arg(long, env = "SHROUD_LISTEN", default_value = "127.0.0.1:5353")]
    listen: SocketAddr,
    /// Where to listen over TLS (TCP) and QUIC (UDP), most often port 853
    #[arg(long, value_name = "ADDR")]
    tls_listen: Option<SocketAddr>,
    /// Where to listen over HTTPS (HTTP/1.1 and 2 over TCP, 3 over UDP), at /dns-query, most often port 443
    #[arg(long, value_name = "ADDR")]
    https_listen: Option<SocketAddr>,
    /// PEM file of the certificate and its chain, for TLS, QUIC and HTTPS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// PEM file of the certificate's key
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Keep a certificate for development in this directory, made when there is none
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "tls_certificate")]
    tls_dev: Option<PathBuf>,
    /// Worker threads, or shards of a per-core backend [default: all cores]
    #[arg(long, env = "SHROUD_CORES")]
    cores: Option<NonZeroUsize>,
    /// Write the addresses to this file once all are open: UDP and TCP, TLS and QUIC, HTTPS, a line each, `-` for none
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

impl DnsServe {
    pub(super) fn run(self) -> Result<(), Failure> {
        start_logging();
        if self.backend == SIMULATED {
            return Err(Failure::usage("backend sim has no real network: it can serve nobody"));
        }
        let encrypted = self.tls_listen.is_some() || self.https_listen.is_some();
        if encrypted && self.tls_certificate.is_none() && self.tls_dev.is_none() {
            return Err(Failure::usage(
                "TLS, QUIC and HTTPS need a certificate: --tls-certificate and --tls-key, or --tls-dev DIRECTORY",
            ));
        }
        let mut zones = Vec::new();
        for path in &self.zones {
            let text = std::fs::read_to_string(path).map_err(Failure::of(path.display()))?;
            zones.push(Zone::parse(&text, &Name::root()).map_err(Failure::of(path.display()))?);
        }
        let mut config = Config::default();
        config.cores = self.cores.unwrap_or(config.cores);
        listen_to_signals(config.stop.clone(), false)?;
        let backend = self.backend.clone();
        let server = Server::new(Zones::new(zones), Limits::default());
        with_backend(&backend, Start { serve: self, server, config }).map_err(Failure::usage)?
    }
}

struct Start {
    serve: DnsServe,
    server: Server<Zones>,
    config: Config,
}

/// What the shards share.
struct Shared {
    serve: DnsServe,
    server: Server<Zones>,
    /// What the first shard opened; none when it could not.
    opened: OnceCell<Option<Opened>>,
}

struct Opened {
    plain: SocketAddr,
    tls: Option<SocketAddr>,
    https: Option<OnePort>,
    certificates: Option<Arc<Certificates>>,
    group: Group,
}

impl Visit for Start {
    type Output = Result<(), Failure>;

    fn visit<B: Backend>(self, backend: B) -> Self::Output {
        let name = backend.name();
        let Self { serve, server, config } = self;
        let shared = Arc::new(Shared { serve, server, opened: OnceCell::new() });
        let results = backend
            .run(&config, move |runtime| shard(runtime, Arc::clone(&shared)))
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
        let _ = shared.opened.set(None).await;
        runtime.stopping().cancel();
    }
    result
}

type Serving<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

async fn serve<R: Runtime>(runtime: &R, shared: &Shared) -> Result<(), Failure> {
    let DnsServe { listen, tls_listen, https_listen, ready_file, .. } = &shared.serve;
    let first = runtime.shard().index == 0;
    let server = &shared.server;
    let shards = runtime.shard().count;
    let options = ListenOptions { reuse_port: shards > 1, ..ListenOptions::default() };
    let datagrams = DatagramOptions { reuse_port: shards > 1, ..DatagramOptions::default() };
    let known = if first { None } else { Some(shared.opened.wait().await) };
    // The first shard says what was wrong.
    let known = match known {
        Some(None) => return Ok(()),
        Some(Some(opened)) => Some(opened),
        None => None,
    };
    let plain = known.map_or(*listen, |opened| opened.plain);
    let (socket, listener) = both(runtime, plain, options, datagrams).await.map_err(Failure::of(plain))?;
    let plain = listener.local_addr().map_err(Failure::of(plain))?;
    let certificates = match known {
        Some(opened) => opened.certificates.clone(),
        None => certificates(runtime, &shared.serve).await?,
    };
    let group = match known {
        Some(opened) => opened.group.clone(),
        None => Group::new(shards, Secrets::generate(runtime)),
    };
    let mut serving: Vec<Serving<'_>> = vec![
        Box::pin(async { server.serve_udp(runtime, socket).await.map_err(Failure::new) }),
        Box::pin(async { server.serve_tcp(runtime, listener).await.map_err(Failure::new) }),
    ];
    let mut tls_at = None;
    if let Some(certificates) = &certificates {
        let tls =
            || ServerOptions::new(provider(), SeamClock::new(runtime.clone()), Arc::clone(certificates));
        if let Some(address) = known.map_or(*tls_listen, |opened| opened.tls) {
            let config = tls().protocols(&[ALPN_TLS]).config().map_err(Failure::new)?;
            let quic = tls().only_tls_13().protocols(&[ALPN_QUIC]).config().map_err(Failure::new)?;
            let quic = quic_config(Arc::new(quic));
            let (listener, endpoint) =
                tls_and_quic(runtime, address, options, &quic, &group).await.map_err(Failure::of(address))?;
            tls_at = Some(listener.local_addr().map_err(Failure::of(address))?);
            serving.push(Box::pin(async move {
                server.serve_tls(runtime, listener, Arc::new(config)).await.map_err(Failure::new)
            }));
            serving.push(Box::pin(async move {
                server.serve_quic(runtime, endpoint).await.map_err(Failure::new)
            }));
        }
    }
    let https = match (known, &certificates, https_listen) {
        (Some(opened), ..) => opened.https.clone(),
        (None, Some(certificates), Some(address)) => {
            let clock = SeamClock::new(runtime.clone());
            let tls = Tls::new(&ServerOptions::new(provider(), clock, Arc::clone(certificates)));
            Some(OnePort::new(*address).with_tls(tls.map_err(Failure::new)?))
        }
        _ => None,
    };
    let mut https_at = None;
    if let Some(on) = &https {
        let port = on.bind(runtime).await.map_err(Failure::new)?;
        https_at = Some(port.local_addr());
        let router = Router::new().any("/dns-query", server.https(runtime));
        let http = http::Server::new(router, http::Limits::default()).map_err(Failure::usage)?;
        serving.push(Box::pin(async move { http.serve_port(runtime, port).await.map_err(Failure::new) }));
    }
    if first {
        let opened = Opened { plain, tls: tls_at, https, certificates, group };
        let _ = shared.opened.set(Some(opened)).await;
        let text = |address: Option<SocketAddr>| address.map_or_else(|| "-".to_owned(), |at| at.to_string());
        say(format_args!(
            "serving DNS on {plain} (UDP, TCP), {} (TLS, QUIC), {} (HTTPS)",
            text(tls_at),
            text(https_at)
        ));
        if let Some(path) = ready_file {
            let lines = format!("{plain}\n{}\n{}\n", text(tls_at), text(https_at));
            write_whole(path, &lines).map_err(Failure::of(path.display()))?;
        }
    }
    try_join_all(serving).await.map(drop)
}

/// A socket and a listener on one port.
async fn both<R: Runtime>(
    runtime: &R,
    address: SocketAddr,
    options: ListenOptions,
    datagrams: DatagramOptions,
) -> io::Result<(R::Socket, R::Listener)> {
    let mut tries = PORT_TRIES;
    loop {
        let listener = runtime.listen(address, options).await?;
        let socket = match runtime.bind(listener.local_addr()?, datagrams).await {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && address.port() == 0 && tries > 0 => {
                tries -= 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        debug_assert_eq!(socket.local_addr()?.port(), listener.local_addr()?.port());
        return Ok((socket, listener));
    }
}

/// The same for TLS and QUIC.
async fn tls_and_quic<R: Runtime>(
    runtime: &R,
    address: SocketAddr,
    options: ListenOptions,
    quic: &shroud_quic::ServerConfig,
    group: &Group,
) -> io::Result<(R::Listener, Endpoint<R>)> {
    let listener = runtime.listen(address, options).await?;
    let member = group.join().ok_or_else(|| io::Error::other("the group has no place left"))?;
    let at = listener.local_addr()?;
    let endpoint = Endpoint::member(runtime, at, &EndpointConfig::default(), quic, member).await;
    Ok((listener, endpoint.map_err(io::Error::other)?))
}

/// The certificates, read or made off the executor's threads.
async fn certificates<R: Runtime>(
    runtime: &R,
    serve: &DnsServe,
) -> Result<Option<Arc<Certificates>>, Failure> {
    let load = match (&serve.tls_certificate, &serve.tls_key, &serve.tls_dev) {
        (Some(certificate), Some(key), _) => super::tls::from_files(certificate.clone(), key.clone()),
        (_, _, Some(directory)) => super::tls::development(directory.clone()),
        _ => return Ok(None),
    };
    let (now, entropy) = (runtime.unix_time(), runtime.clone());
    let job = move || load(now, &mut |out: &mut [u8]| entropy.fill(out));
    let certificate: Certificate = runtime.offload(job).await.map_err(Failure::new)?.map_err(Failure::new)?;
    Certificates::new(vec![certificate]).map(Some).map_err(Failure::new)
}

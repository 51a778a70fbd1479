//! `shroud proxy`: a reverse proxy.

mod certificates;
mod reload;

use super::Failure;
use super::node::{listen_to_signals, start_logging, write_whole};
use super::output::say;
use super::tls;
use crate::backends::{SIMULATED, Visit, with_backend};
use certificates::{Obtained, loaded};
use clap::Args;
use futures_util::future::join_all;
use reload::Renewal;
use shroud_ghostwire::http::{HeaderValue, Limits, Server};
use shroud_ghostwire::proxy::{Config as ProxyConfig, Forward, Listen, ListenTls, Network, Proxy};
use shroud_ghostwire::tls::rustls::ServerConfig;
use shroud_ghostwire::tls::{SeamClock, ServerOptions, alpn, provider};
use shroud_quic::{Endpoint, EndpointConfig, Group, Secrets};
use shroud_runtime::net::Listener as _;
use shroud_runtime::sync::OnceCell;
use shroud_runtime::{Backend, Class, Config, ListenOptions, Runtime};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Forward requests to other servers: HTTP/1.1, HTTP/2 and HTTP/3 in and out, load balancing, health checks, retries
#[derive(Debug, Clone, Args)]
pub(crate) struct ProxyCommand {
    /// What to do, in TOML; docs/proxy.md has a complete example. Read again on SIGHUP
    #[arg(short, long, env = "SHROUD_PROXY_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Only say whether the configuration is good
    #[arg(long)]
    check: bool,
    /// Who runs the proxy; `shroud backends` lists them
    #[arg(long, env = "SHROUD_BACKEND", default_value = "tokio")]
    backend: String,
    /// Worker threads, or shards of a per-core backend [default: all cores]
    #[arg(long, env = "SHROUD_CORES")]
    cores: Option<NonZeroUsize>,
    /// Pin threads to these processors, e.g. 0,1 [default: not pinned]
    #[arg(long, env = "SHROUD_CPUS", value_delimiter = ',')]
    cpus: Vec<usize>,
    /// Look every so many seconds whether the configuration has changed, and read it again when it has
    #[arg(long, value_name = "SECONDS")]
    watch: Option<NonZeroUsize>,
    /// Write the proxy's URLs to this file, one a line, once it accepts connections
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

impl ProxyCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        start_logging();
        let (text, config) = read(&self.config).map_err(Failure::usage)?;
        if self.check {
            return check(&self.config, &config);
        }
        if config.listen.is_empty() {
            return Err(Failure::usage(format_args!(
                "configuration {}: nothing to listen on: add [[listen]] with an address",
                self.config.display()
            )));
        }
        if self.backend == SIMULATED {
            return Err(Failure::usage("backend sim has no real network: it can serve nobody"));
        }
        let mut runtime = Config::default();
        runtime.cores = self.cores.unwrap_or(runtime.cores);
        runtime.cpus.clone_from(&self.cpus);
        runtime.drain = config.limits.drain_time + Duration::from_secs(1);
        listen_to_signals(runtime.stop.clone(), false)?;
        let renewal = Renewal::on_hangup(self.config.clone(), text, self.watch)?;
        let proxy = Proxy::new(config).map_err(Failure::usage)?;
        let backend = self.backend.clone();
        with_backend(&backend, Start { command: self, proxy, runtime, renewal }).map_err(Failure::usage)?
    }
}

/// Reads a configuration; the files it names are relative to its own directory.
fn read(path: &Path) -> Result<(String, ProxyConfig), String> {
    let at = |error: &dyn std::fmt::Display| format!("configuration {}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| at(&error))?;
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut config = ProxyConfig::from_toml(&text, &|named| std::fs::read(directory.join(named)))
        .map_err(|error| at(&error))?;
    for listen in &mut config.listen {
        match &mut listen.tls {
            Some(ListenTls::Files { certificate, key }) => {
                *certificate = directory.join(&certificate);
                *key = directory.join(&key);
            }
            Some(ListenTls::Development(kept)) => *kept = directory.join(&kept),
            Some(ListenTls::Acme(acme)) => acme.cache = directory.join(&acme.cache),
            _ => {}
        }
    }
    Ok((text, config))
}

fn check(path: &Path, config: &ProxyConfig) -> Result<(), Failure> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    for listen in &config.listen {
        if let Some(ListenTls::Files { certificate, key }) = &listen.tls {
            tls::from_files(certificate.clone(), key.clone())(now, &mut |_| {}).map_err(Failure::usage)?;
        }
    }
    let servers: usize = config.upstreams.values().map(|upstream| upstream.servers.len()).sum();
    say(format_args!(
        "{} is good: {} listeners, {} routes, {} upstreams with {servers} servers",
        path.display(),
        config.listen.len(),
        config.routes.len(),
        config.upstreams.len(),
    ));
    Ok(())
}

struct Start {
    command: ProxyCommand,
    proxy: Proxy,
    runtime: Config,
    renewal: Renewal,
}

/// What the shards share.
struct Shared {
    command: ProxyCommand,
    proxy: Proxy,
    renewal: Renewal,
    obtained: Obtained,
    /// What the first shard has bound; none when it could not.
    bound: OnceCell<Option<Bound>>,
    listening: AtomicUsize,
}

#[derive(Clone)]
struct Bound {
    places: Vec<Place>,
    admin: Option<SocketAddr>,
}

/// One listener, as all shards have it.
#[derive(Clone)]
struct Place {
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    balancers: Vec<Network>,
    http3: Option<(shroud_quic::ServerConfig, Group)>,
}

impl Visit for Start {
    type Output = Result<(), Failure>;

    fn visit<B: Backend>(self, backend: B) -> Self::Output {
        let name = backend.name();
        let Self { command, proxy, runtime, renewal } = self;
        let (bound, listening) = (OnceCell::new(), AtomicUsize::new(0));
        let shared =
            Arc::new(Shared { command, proxy, renewal, obtained: Obtained::default(), bound, listening });
        let results = backend
            .run(&runtime, move |runtime| shard(runtime, Arc::clone(&shared)))
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

async fn serve<R: Runtime>(runtime: &R, shared: &Arc<Shared>) -> Result<(), Failure> {
    let options = ListenOptions { reuse_port: runtime.shard().count > 1, ..ListenOptions::default() };
    let forward = shared.proxy.on_shard(runtime).await.map_err(Failure::new)?;
    let (mut listeners, mut renewals) = (Vec::new(), Vec::new());
    let first = runtime.shard().index == 0;
    let bound = if first {
        let config = shared.proxy.config();
        let mut places = Vec::new();
        for listen in &config.listen {
            let (listener, place) = bind(runtime, shared, listen, options, &mut renewals).await?;
            listeners.push(listener);
            places.push(place);
        }
        let bound = Bound { places, admin: admin(runtime, shared, config.admin).await? };
        let _ = shared.bound.set(Some(bound.clone())).await;
        bound
    } else {
        // The first shard says what was wrong.
        let Some(bound) = shared.bound.wait().await.clone() else { return Ok(()) };
        for place in &bound.places {
            let listener = runtime.listen(place.address, options).await;
            listeners.push(listener.map_err(Failure::of(place.address))?);
        }
        bound
    };
    let limits = shared.proxy.config().limits.clone();
    let mut serving = Vec::new();
    for (listener, place) in listeners.into_iter().zip(&bound.places) {
        let endpoint = match &place.http3 {
            None => None,
            Some((config, group)) => {
                let member =
                    group.join().ok_or_else(|| Failure::usage("HTTP/3 serves 256 shards at most"))?;
                let options = EndpointConfig::default();
                let endpoint = Endpoint::member(runtime, place.address, &options, config, member).await;
                Some(endpoint.map_err(Failure::of(format_args!("{} (UDP)", place.address)))?)
            }
        };
        serving.push(answer(runtime, shared, &forward, &limits, (listener, endpoint), place));
    }
    let checks = runtime.clone();
    let (proxy, renewing) = (shared.proxy.clone(), Arc::clone(shared));
    let _checks = first.then(|| {
        let again = checks.clone();
        let check = checks.spawn_in(Class::Monitoring, "proxy-health", async move {
            proxy.check_health(&again).await;
        });
        let again = checks.clone();
        let renew = checks.spawn("proxy-reload", async move {
            renewing.renewal.run(&again, &renewing.proxy).await;
        });
        (check, renew)
    });
    if shared.listening.fetch_add(1, Ordering::SeqCst) + 1 == runtime.shard().count {
        ready(shared, &bound)?;
    }
    for renewal in renewals {
        runtime.spawn("acme", renewal.run()).detach();
    }
    for result in join_all(serving).await {
        result?;
    }
    Ok(())
}

/// Binds a listener for all shards: its address, its certificate, its keys.
async fn bind<R: Runtime>(
    runtime: &R,
    shared: &Shared,
    listen: &Listen,
    options: ListenOptions,
    renewals: &mut Vec<shroud_ghostwire::acme::Renewal<R>>,
) -> Result<(R::Listener, Place), Failure> {
    let listener = runtime.listen(listen.address, options).await.map_err(Failure::of(listen.address))?;
    let address = listener.local_addr().map_err(Failure::of(listen.address))?;
    let balancers = listen.proxy_protocol.clone();
    let Some(source) = &listen.tls else {
        return Ok((listener, Place { address, tls: None, balancers, http3: None }));
    };
    let certificates = match source {
        ListenTls::Acme(acme) => {
            let (certificates, renewal) = shared.obtained.of(runtime, acme).await?;
            renewals.extend(renewal);
            certificates
        }
        _ => loaded(runtime, source).await?,
    };
    shared.renewal.keep(Arc::clone(&certificates), !matches!(source, ListenTls::Acme(_)));
    let protocols = certificates.http_protocols();
    let server = ServerOptions::new(provider(), SeamClock::new(runtime.clone()), certificates);
    let tls = server.clone().protocols(protocols).config().map_err(Failure::new)?;
    let http3 = if listen.http3 {
        let mut tls = server.protocols(&[alpn::H3]).only_tls_13().config().map_err(Failure::new)?;
        tls.max_early_data_size = u32::MAX;
        let group = Group::new(runtime.shard().count, Secrets::generate(runtime));
        Some((shroud_quic::ServerConfig::new(Arc::new(tls)), group))
    } else {
        None
    };
    Ok((listener, Place { address, tls: Some(Arc::new(tls)), balancers, http3 }))
}

/// Serves the statistics, and says where.
async fn admin<R: Runtime>(
    runtime: &R,
    shared: &Shared,
    address: Option<SocketAddr>,
) -> Result<Option<SocketAddr>, Failure> {
    let Some(wanted) = address else { return Ok(None) };
    let options = ListenOptions { reuse_port: false, ..ListenOptions::default() };
    let doing = || Failure::of(format!("{wanted} (admin)"));
    let listener = runtime.listen(wanted, options).await.map_err(doing())?;
    let address = listener.local_addr().map_err(doing())?;
    let server = Server::new(shared.proxy.admin(runtime), Limits::default()).map_err(Failure::usage)?;
    let inner = runtime.clone();
    let task = async move { server.serve(&inner, listener).await };
    runtime.spawn_in(Class::Monitoring, "proxy-admin", task).detach();
    Ok(Some(address))
}

async fn answer<R: Runtime>(
    runtime: &R,
    shared: &Shared,
    forward: &Forward<R>,
    limits: &Limits,
    (listener, endpoint): (R::Listener, Option<Endpoint<R>>),
    place: &Place,
) -> Result<(), Failure> {
    let mut server = Server::new(forward.clone(), limits.clone())
        .map_err(Failure::usage)?
        .with_metrics(shared.proxy.metrics().clone());
    if let Some(tls) = &place.tls {
        server = server.with_tls(Arc::clone(tls));
    }
    if !place.balancers.is_empty() {
        server = server.with_proxy_protocol(&place.balancers);
    }
    let Some(endpoint) = endpoint else {
        return server.serve(runtime, listener).await.map_err(Failure::new);
    };
    let elsewhere = format!("h3=\":{}\"; ma=3600", place.address.port());
    if let Ok(value) = HeaderValue::try_from(elsewhere) {
        server = server.with_alt_svc(value);
    }
    let (tcp, udp) =
        shroud_runtime::flow::join(server.serve(runtime, listener), server.serve_http3(runtime, endpoint))
            .await;
    tcp.and(udp).map_err(Failure::new)
}

/// Tells where the proxy is.
fn ready(shared: &Shared, bound: &Bound) -> Result<(), Failure> {
    let mut lines = String::new();
    for place in &bound.places {
        let scheme = if place.tls.is_some() { "https" } else { "http" };
        let _ = writeln!(lines, "{scheme}://{}", place.address);
    }
    if let Some(address) = bound.admin {
        let _ = writeln!(lines, "admin http://{address}");
    }
    say(lines.trim_end());
    if let Some(path) = &shared.command.ready_file {
        write_whole(path, lines.trim_end()).map_err(Failure::of(path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the guide is what this program reads, and shows every setting.
    #[test]
    fn the_documented_example_is_good_and_complete() {
        let guide = include_str!("../../../../docs/proxy.md");
        let (_, rest) = guide.split_once("```toml\n").expect("an example");
        let (example, _) = rest.split_once("\n```").expect("its end");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let pem = made.cert.pem().into_bytes();
        let config = ProxyConfig::from_toml(example, &|_| Ok(pem.clone())).expect("a good example");
        assert!(config.listen.len() > 1 && config.upstreams.len() > 2 && config.routes.len() > 2);
        // What a shape error lists as expected is every setting there is.
        for (table, wrong) in [
            ("top", "x = 1\n"),
            ("listen", "[[listen]]\naddress = \"127.0.0.1:1\"\nx = 1\n"),
            ("listen.tls", "[[listen]]\naddress = \"127.0.0.1:1\"\ntls = { x = 1 }\n"),
            ("limits", "[limits]\nx = 1\n"),
            ("upstream", "[upstreams.u]\nservers = []\nx = 1\n"),
            ("breaker", "[upstreams.u]\nservers = []\nbreaker = { x = 1 }\n"),
            ("health", "[upstreams.u]\nservers = []\nhealth = { x = 1 }\n"),
            ("retry", "[upstreams.u]\nservers = []\nretry = { x = 1 }\n"),
            ("tls", "[upstreams.u]\nservers = []\ntls = { x = 1 }\n"),
            ("route", "[[routes]]\nupstream = \"u\"\nx = 1\n"),
        ] {
            let error = ProxyConfig::from_toml(wrong, &|_| Ok(Vec::new())).expect_err(table).to_string();
            let (_, expected) = error.split_once("expected").expect("what is expected");
            let settings: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
            assert!(!settings.is_empty(), "{error}");
            for setting in settings {
                assert!(example.contains(setting), "the example does not show {table} {setting}");
            }
        }
    }
}

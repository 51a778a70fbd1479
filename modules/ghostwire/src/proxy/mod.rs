//! A reverse proxy: HTTP/1.1, HTTP/2 and HTTP/3 in, any of them out, on the server, bodies and clients of
//! [`http`](crate::http).
//!
//! Requests and responses are made anew from what was parsed, never copied: two readings of one message (request
//! smuggling) cannot come about. Bodies stream, and whoever reads slowly holds back whoever writes.
//!
//! | file | what is inside |
//! |---|---|
//! | `config` | what a proxy does, and the TOML file |
//! | `balance`, `breaker`, `health`, `pool` | who gets the next request: machines without I/O |
//! | `upstream` | a group of servers as all shards share it: the queue, leases, the retry budget |
//! | `connector` | one server as one shard reaches it |
//! | `shard` | the handler on one shard, with the clients of one configuration |
//! | `forward` | one request and its response |
//! | `path`, `fields` | routes, and what happens to header fields |
//! | `source`, `answer` | the two bodies |
//! | `tunnel` | WebSocket: bytes both ways |
//! | `check` | active health checks |
//! | `admin` | statistics |

mod admin;
mod answer;
pub mod balance;
pub mod breaker;
mod check;
mod config;
mod connector;
mod fields;
mod forward;
pub mod health;
mod path;
mod pool;
mod shard;
mod source;
mod tunnel;
mod upstream;

pub use balance::{HashKey, Policy};
pub use breaker::BreakerOptions;
pub use config::{
    Config, ConfigError, Forwarding, HealthCheck, InvalidConfig, Listen, ListenAcme, ListenTls, MAX_ROUTES,
    MAX_SERVERS, MAX_UPSTREAMS, Network, Part, ProxyVersion, RetryOptions, Route, ServerAddress,
    ServerConfig, ServerProtocol, UpstreamConfig, UpstreamTls, UpstreamTrust,
};
pub use connector::PrepareError;
pub use path::{HostField, HostPattern, Rewrite};
pub use shard::Forward;

use crate::http::{Metrics, Router};
use shroud_runtime::Runtime;
use shroud_runtime::sync::watch;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use upstream::Upstream;

/// Times that a request may come by a proxy of one name.
pub const MAX_HOPS: usize = 8;

/// A proxy, shared by all shards. Clones are the same.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
}

struct Shared {
    /// Held while a configuration is changed.
    changing: Mutex<()>,
    live: watch::Sender<Arc<Live>>,
    metrics: Metrics,
    reloads: AtomicU64,
    rejected: AtomicU64,
}

/// A configuration in use.
struct Live {
    generation: u64,
    config: Arc<Config>,
    upstreams: BTreeMap<String, Arc<Upstream>>,
}

/// A configuration that is not taken; the one before stays in use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It cannot be.
    #[error(transparent)]
    Invalid(#[from] InvalidConfig),
    /// It changes what is taken at the start only.
    #[error("{0} cannot change while the proxy runs; restart it for that")]
    Fixed(&'static str),
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("generation", &self.live().generation).finish_non_exhaustive()
    }
}

impl Proxy {
    /// A proxy with this configuration. It opens nothing by itself: each shard makes a [`Forward`] and hands it to its
    /// servers.
    ///
    /// # Errors
    /// [`InvalidConfig`].
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let (live, _) = watch::channel(Arc::new(Live::new(1, config, None)));
        Ok(Self {
            shared: Arc::new(Shared {
                changing: Mutex::new(()),
                live,
                metrics: Metrics::new(),
                reloads: AtomicU64::new(0),
                rejected: AtomicU64::new(0),
            }),
        })
    }

    /// The handler for the servers of one shard. To be called from the shard's main task: connections to servers are kept
    /// by tasks of the caller.
    ///
    /// # Errors
    /// [`PrepareError`] when servers cannot be prepared for.
    pub async fn on_shard<R: Runtime>(&self, runtime: &R) -> Result<Forward<R>, PrepareError> {
        Forward::new(runtime, self).await
    }

    /// Checks servers' health until the node is asked to stop: to be run on one shard.
    ///
    /// Cancel safety: dropping it ends the checks.
    pub async fn check_health<R: Runtime>(&self, runtime: &R) {
        check::run(runtime.clone(), self.clone()).await;
    }

    /// The statistics: `GET /stats` as JSON, `/metrics` for Prometheus, `/health`, `/ready` (whether each group has a server that takes
    /// requests), `/debug/tasks`. They are for operators: serve them where nobody else is.
    #[must_use]
    pub fn admin<R: Runtime>(&self, runtime: &R) -> Router {
        admin::router(runtime, self)
    }

    /// What the servers of this proxy count into ([`Server::with_metrics`](crate::http::Server::with_metrics)).
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The configuration in use.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.live().config)
    }

    /// Takes another configuration: for requests that begin from now on. Those in work end as they began. Groups that have
    /// not changed keep their connections, states and counts.
    ///
    /// # Errors
    /// [`ReloadError`]; everything stays as it was then.
    pub fn reload(&self, config: Config) -> Result<(), ReloadError> {
        let _changing = self.shared.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.live();
        let fixed = |what| Err(ReloadError::Fixed(what));
        let checked = match config.validate() {
            Err(error) => Err(error.into()),
            Ok(()) if !same_addresses(&config, &before.config) => fixed("`listen`"),
            Ok(()) if config.admin != before.config.admin => fixed("`admin`"),
            Ok(()) if config.limits != before.config.limits => fixed("`limits`"),
            Ok(()) => Ok(()),
        };
        if let Err(error) = checked {
            self.reload_failed();
            return Err(error);
        }
        let generation = before.generation.saturating_add(1);
        self.shared.live.send(Arc::new(Live::new(generation, config, Some(&before))));
        self.shared.reloads.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Counts a configuration that could not even be read.
    pub fn reload_failed(&self) {
        self.shared.rejected.fetch_add(1, Relaxed);
    }

    /// Configurations taken after the first, and those that were not.
    fn reloads(&self) -> (u64, u64) {
        (self.shared.reloads.load(Relaxed), self.shared.rejected.load(Relaxed))
    }

    fn live(&self) -> Arc<Live> {
        self.changes().get()
    }

    fn changes(&self) -> watch::Receiver<Arc<Live>> {
        self.shared.live.subscribe()
    }
}

/// Whether both listen at the same places. Certificates may come from elsewhere.
fn same_addresses(a: &Config, b: &Config) -> bool {
    let place = |listen: &Listen| {
        // Whom to believe about an ACME server may change: the system's authorities do.
        let acme = match &listen.tls {
            Some(ListenTls::Acme(acme)) => {
                let ListenAcme { names, directory, contact, cache, .. } = &**acme;
                Some((names.clone(), directory.clone(), contact.clone(), cache.clone()))
            }
            _ => None,
        };
        (listen.address, listen.tls.is_some(), acme, listen.http3, listen.proxy_protocol.clone())
    };
    a.listen.iter().map(place).eq(b.listen.iter().map(place))
}

impl Live {
    fn new(generation: u64, config: Config, before: Option<&Self>) -> Self {
        let upstreams = config
            .upstreams
            .iter()
            .map(|(name, upstream)| {
                let known = before.and_then(|before| before.upstreams.get(name));
                let kept = known.filter(|known| known.config == *upstream).map(Arc::clone);
                (name.clone(), kept.unwrap_or_else(|| Arc::new(Upstream::new(name, upstream.clone()))))
            })
            .collect();
        Self { generation, config: Arc::new(config), upstreams }
    }
}

//! What a proxy does: plain data with documented defaults, made by a program or read from a TOML file
//! ([`Config::from_toml`]).

mod file;
mod listen_acme;
mod listen_tls;
mod parse;

pub use crate::http::Network;
pub use file::ConfigError;
pub use listen_acme::ListenAcme;
pub use parse::{ServerAddress, ServerProtocol};
pub use shroud_wire::proxy_protocol::Version as ProxyVersion;

use super::balance::Policy;
use super::breaker::BreakerOptions;
use super::path::{HostField, HostPattern, Rewrite, is_plain_path};
use crate::http::Limits;
use bytes::Bytes;
use http::StatusCode;
use http::uri::PathAndQuery;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Groups of servers a configuration may have.
pub const MAX_UPSTREAMS: usize = 1024;
/// Servers a group may have.
pub const MAX_SERVERS: usize = 1024;
/// Routes a configuration may have: each request is compared with them one by one.
pub const MAX_ROUTES: usize = 4096;

/// A proxy's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where clients connect. Taken at the start only.
    pub listen: Vec<Listen>,
    /// Where the statistics are served; `None` for nowhere. Taken at the start only.
    pub admin: Option<SocketAddr>,
    /// Proxies in front of this one: what they say about their clients (`X-Forwarded-*`, `Forwarded`) is believed and
    /// handed on. Of all others it is removed.
    pub trusted: Vec<Network>,
    /// How upstream servers are told about the client.
    pub forwarded: Forwarding,
    /// This proxy's name in `Via` (RFC 9110, 7.6.3): a token. A request that has come by this name
    /// [`MAX_HOPS`](super::MAX_HOPS) times goes in circles and is answered 508.
    pub name: String,
    /// What clients may do. Taken at the start only.
    pub limits: Limits,
    /// The groups of servers, by name.
    pub upstreams: BTreeMap<String, UpstreamConfig>,
    /// Which requests go to which group. The most specific host wins, then the longest path.
    pub routes: Vec<Route>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            admin: None,
            trusted: Vec::new(),
            forwarded: Forwarding::default(),
            name: "shroud".into(),
            limits: default_limits(),
            upstreams: BTreeMap::new(),
            routes: Vec::new(),
        }
    }
}

/// As for any server, except that bodies may be long and slow: what they need is not known here.
fn default_limits() -> Limits {
    Limits { body_bytes: 1 << 30, body_time: Duration::from_secs(3600), ..Limits::default() }
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// With TLS: HTTP/1.1 and HTTP/2 by ALPN. Without: HTTP/1.1, and HTTP/2 for clients that know (h2c).
    pub tls: Option<ListenTls>,
    /// HTTP/3 on the same port in UDP; needs TLS.
    pub http3: bool,
    /// Balancers whose connections begin with a header of the PROXY protocol; there is room for no others then. Empty: clients
    /// connect themselves.
    pub proxy_protocol: Vec<Network>,
}

/// Where a listener's certificate comes from. Read again at each reload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenTls {
    /// PEM files.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// A self-signed one for localhost, made on first start and kept in this directory.
    Development(PathBuf),
    /// Obtained and renewed by ACME. Taken at the start only.
    Acme(Box<ListenAcme>),
}

/// How upstream servers are told about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Forwarding {
    /// `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`, and `Forwarded` (RFC 7239).
    #[default]
    Both,
    /// Only the former.
    XForwarded,
    /// Only the latter.
    Forwarded,
    /// Not at all.
    None,
}

/// A group of servers that answer the same requests.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamConfig {
    /// The servers.
    pub servers: Vec<ServerConfig>,
    /// How requests are spread over them.
    pub balance: Policy,
    /// When a server that fails is left alone.
    pub breaker: BreakerOptions,
    /// Whether and how servers are asked for their health.
    pub health: Option<HealthCheck>,
    /// When a request is sent again.
    pub retry: RetryOptions,
    /// Requests that may wait for a server when all have as many as they may: 503 beyond. Default 256.
    pub queue: usize,
    /// How long they wait: 503 beyond. Default 1 s.
    pub queue_time: Duration,
    /// For resolving a server's name, connecting, and TLS: 504 beyond. Default 5 s.
    pub connect_time: Duration,
    /// From sending a request to the head of its response: 504 beyond. Default 60 s.
    pub response_time: Duration,
    /// How long the next piece of a response may take; then it is broken off. Default 60 s.
    pub read_time: Duration,
    /// How long a connection to a server is kept without a request; and a tunnel (WebSocket) without a byte. Default 30 s
    /// and 1 h.
    pub idle_time: Duration,
    /// As above.
    pub tunnel_idle_time: Duration,
    /// What `https` and `h3` servers must show.
    pub tls: UpstreamTls,
    /// Servers are told of the client by a header of the PROXY protocol: each request goes over a connection of its own, by
    /// HTTP/1.1.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            balance: Policy::default(),
            breaker: BreakerOptions::default(),
            health: None,
            retry: RetryOptions::default(),
            queue: 256,
            queue_time: Duration::from_secs(1),
            connect_time: Duration::from_secs(5),
            response_time: Duration::from_secs(60),
            read_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(30),
            tunnel_idle_time: Duration::from_secs(3600),
            tls: UpstreamTls::default(),
            proxy_protocol: None,
        }
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where, and by which protocol.
    pub address: ServerAddress,
    /// Its share, for the policies that go by weight. Default 1.
    pub weight: u32,
    /// Requests it may have at a time; with HTTP/1.1 that is the number of its connections. Default 1024.
    pub max_requests: usize,
}

impl ServerConfig {
    /// A server with defaults.
    #[must_use]
    pub const fn new(address: ServerAddress) -> Self {
        Self { address, weight: 1, max_requests: 1024 }
    }
}

/// TLS towards servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamTls {
    /// Whom to believe; needed for `https` and `h3`.
    pub trust: Option<UpstreamTrust>,
    /// The name that certificates must be for, and SNI; the server's host by default.
    pub name: Option<String>,
    /// Never HTTP/2, although the server offers it.
    pub http1_only: bool,
}

/// Which servers are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamTrust {
    /// Those of these authorities (PEM).
    Pem(Bytes),
    /// The same, of a system's bundle: what cannot be read is left out.
    Bundle(Bytes),
    /// Any at all: whoever sits in between reads and changes everything.
    InsecureAnyone,
}

/// How servers are asked for their health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for, by GET.
    pub path: PathAndQuery,
    /// Which statuses mean health. Default 200 to 399.
    pub statuses: RangeInclusive<u16>,
    /// From the end of one check to the next. Default 5 s.
    pub interval: Duration,
    /// For one check. Default 2 s.
    pub timeout: Duration,
    /// Successes in a row that a server needs to get requests again. Default 2.
    pub healthy: u32,
    /// Failures in a row after which it gets none. Default 3.
    pub unhealthy: u32,
}

impl HealthCheck {
    /// A check of this path with defaults.
    #[must_use]
    pub const fn new(path: PathAndQuery) -> Self {
        Self {
            path,
            statuses: 200..=399,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            healthy: 2,
            unhealthy: 3,
        }
    }
}

/// When a request is sent again, to another server where there is one: after a failure to connect always, after any other
/// only with an idempotent method (RFC 9110, 9.2.2); and only while its body has not begun or can be sent from its
/// beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOptions {
    /// Times it is sent, the first included. That a kept connection has ended, so that it goes over a new one to the same
    /// server, does not count. Default 3.
    pub attempts: u32,
    /// Retries for a hundred requests, at most. Default 20.
    pub budget_percent: u32,
    /// Retries beyond that, saved up while none are needed. Default 10.
    pub budget_reserve: u32,
    /// Answers that are taken for failures, and so for another try: 5xx. Default none.
    pub statuses: Vec<StatusCode>,
    /// Bytes of a body that are kept to be sent again, of idempotent methods. Default 64 KiB.
    pub body_bytes: usize,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            attempts: 3,
            budget_percent: 20,
            budget_reserve: 10,
            statuses: Vec::new(),
            body_bytes: 64 * 1024,
        }
    }
}

/// Which requests go to which group, and what they look like there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// For which hosts.
    pub host: HostPattern,
    /// For this path and all below it: `/api` is for `/api` and `/api/x`, not for `/apiary`.
    pub path: String,
    /// What the server sees of the path.
    pub rewrite: Rewrite,
    /// What the server sees as `Host` or `:authority`.
    pub host_field: HostField,
    /// The group's name.
    pub upstream: String,
}

impl Route {
    /// Everything to this group, as it is.
    #[must_use]
    pub fn to(upstream: &str) -> Self {
        Self {
            host: HostPattern::Any,
            path: "/".into(),
            rewrite: Rewrite::Keep,
            host_field: HostField::Keep,
            upstream: upstream.into(),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct InvalidConfig {
    /// Which part.
    pub at: Part,
    /// What, and what to do.
    pub message: String,
}

/// A part of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// A listener, counted from 0.
    Listen(usize),
    /// A group of servers.
    Upstream(String),
    /// A route, counted from 0.
    Route(usize),
    /// Everything.
    Whole,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listen(index) => write!(f, "listener {}", index.saturating_add(1)),
            Self::Upstream(name) => write!(f, "upstream `{name}`"),
            Self::Route(index) => write!(f, "route {}", index.saturating_add(1)),
            Self::Whole => f.write_str("the configuration"),
        }
    }
}

impl Config {
    /// Whether a proxy can work with it.
    ///
    /// # Errors
    /// [`InvalidConfig`] naming the first part that cannot be, and what to do.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let whole = |message: String| Err(InvalidConfig { at: Part::Whole, message });
        if self.upstreams.len() > MAX_UPSTREAMS || self.routes.len() > MAX_ROUTES {
            return whole(format!("at most {MAX_UPSTREAMS} upstreams and {MAX_ROUTES} routes"));
        }
        if self.routes.is_empty() {
            return whole("no route: add [[routes]] with the name of an upstream".into());
        }
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(is_token) {
            return whole(format!("the name `{}` is no token of at most 64 characters", self.name));
        }
        if let Err(error) = self.limits.validate() {
            return whole(error.to_string());
        }
        for (index, listen) in self.listen.iter().enumerate() {
            if listen.http3 && listen.tls.is_none() {
                let message = "HTTP/3 needs a certificate: add `tls`, or leave `http3` out".into();
                return Err(InvalidConfig { at: Part::Listen(index), message });
            }
            if listen.http3 && !listen.proxy_protocol.is_empty() {
                let message = "HTTP/3 has no PROXY protocol: leave `http3` out, or `proxy-protocol`".into();
                return Err(InvalidConfig { at: Part::Listen(index), message });
            }
            if let Some(ListenTls::Acme(acme)) = &listen.tls {
                let others = self.listen.iter().take(index).filter_map(|other| other.tls.as_ref());
                let clashes = |other: &ListenTls| matches!(other, ListenTls::Acme(other) if other.cache == acme.cache && other != acme);
                if others.into_iter().any(clashes) {
                    let cache = acme.cache.display();
                    let message = format!("acme-cache {cache} is another certificate's: give each its own");
                    return Err(InvalidConfig { at: Part::Listen(index), message });
                }
            }
            let port = listen.address.port();
            let before = self.listen.iter().take(index);
            if port != 0 && before.into_iter().any(|other| other.address == listen.address) {
                let message = format!("{} is listened on already", listen.address);
                return Err(InvalidConfig { at: Part::Listen(index), message });
            }
        }
        for (name, upstream) in &self.upstreams {
            upstream
                .validate()
                .map_err(|message| InvalidConfig { at: Part::Upstream(name.clone()), message })?;
        }
        for (index, route) in self.routes.iter().enumerate() {
            self.check_route(index, route)
                .map_err(|message| InvalidConfig { at: Part::Route(index), message })?;
        }
        Ok(())
    }

    fn check_route(&self, index: usize, route: &Route) -> Result<(), String> {
        if !self.upstreams.contains_key(&route.upstream) {
            let known: Vec<&str> = self.upstreams.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            return Err(format!("there is no upstream `{}`; defined: {known}", route.upstream));
        }
        if !is_plain_path(&route.path) {
            return Err(format!("the path `{}` must begin with / and have no dot segments", route.path));
        }
        if let Rewrite::Replace(prefix) = &route.rewrite
            && !is_plain_path(prefix)
        {
            return Err(format!("the prefix `{prefix}` must begin with / and have no dot segments"));
        }
        let same = |other: &Route| {
            other.host == route.host && other.path.trim_end_matches('/') == route.path.trim_end_matches('/')
        };
        if let Some(before) = self.routes.iter().take(index).position(same) {
            let before = before.saturating_add(1);
            return Err(format!("route {before} has the same host and path: it would never be reached"));
        }
        Ok(())
    }
}

impl UpstreamConfig {
    fn validate(&self) -> Result<(), String> {
        if self.servers.is_empty() || self.servers.len() > MAX_SERVERS {
            return Err(format!("it must have 1 to {MAX_SERVERS} servers"));
        }
        for (index, server) in self.servers.iter().enumerate() {
            let address = &server.address;
            if server.weight == 0 || server.max_requests == 0 {
                return Err(format!("{address}: weight and max-requests must be 1 or more"));
            }
            if self.servers.iter().take(index).any(|other| other.address == *address) {
                return Err(format!("{address} is there twice; give it a weight instead"));
            }
            let http1 = matches!(address.protocol, ServerProtocol::Http | ServerProtocol::Https);
            if self.proxy_protocol.is_some() && !http1 {
                return Err(format!("{address}: proxy-protocol goes with http and https servers only"));
            }
            if address.is_secure() && self.tls.trust.is_none() {
                return Err(format!(
                    "{address} needs authorities to believe: name a file with `tls.ca`, as the system has no list"
                ));
            }
        }
        let times = [
            ("connect-time", self.connect_time),
            ("response-time", self.response_time),
            ("read-time", self.read_time),
            ("tunnel-idle-time", self.tunnel_idle_time),
        ];
        if let Some((name, _)) = times.into_iter().find(|(_, time)| time.is_zero()) {
            return Err(format!("{name} must not be zero"));
        }
        if self.retry.attempts == 0 {
            return Err("retry.attempts counts the first one: 1 for no retries".into());
        }
        if self.retry.statuses.iter().any(|status| !status.is_server_error()) {
            return Err("retry.statuses must be 5xx: other answers are the server's word".into());
        }
        if let Some(health) = &self.health
            && (health.interval.is_zero() || health.timeout.is_zero())
        {
            return Err("health.interval and health.timeout must not be zero".into());
        }
        Ok(())
    }
}

//! The TOML file: its shape, and where in it something is wrong.

use super::listen_tls::ListenTlsTable;
use super::parse::{ServerAddress, Time};
use super::{
    Config, Forwarding, HealthCheck, InvalidConfig, Listen, Network, Part, ProxyVersion, RetryOptions, Route,
    ServerConfig, UpstreamConfig, UpstreamTls, UpstreamTrust,
};
use crate::http::Limits;
use crate::proxy::balance::{HashKey, Policy};
use crate::proxy::breaker::BreakerOptions;
use crate::proxy::path::{HostField, HostPattern, Rewrite};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use shroud_rustls::Trust;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Where systems keep the authorities they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A configuration file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is not TOML, or not of this shape. The message names line and column, and shows them.
    #[error("{0}")]
    Shape(String),
    /// What it says cannot be.
    #[error("line {line}: {message}")]
    Meaning {
        /// Counted from 1.
        line: usize,
        /// What, and what to do.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    listen: Vec<Spanned<ListenTable>>,
    admin: Option<SocketAddr>,
    #[serde(default)]
    trusted: Vec<Network>,
    #[serde(default)]
    forwarded: Forwarding,
    name: Option<String>,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    upstreams: BTreeMap<String, Spanned<UpstreamTable>>,
    #[serde(default)]
    routes: Vec<Spanned<RouteTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ListenTable {
    address: SocketAddr,
    tls: Option<ListenTlsTable>,
    #[serde(default)]
    http3: bool,
    #[serde(default)]
    proxy_protocol: Vec<Network>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitsTable {
    connections: Option<usize>,
    requests: Option<usize>,
    header_bytes: Option<usize>,
    body_bytes: Option<u64>,
    header_time: Option<Time>,
    body_time: Option<Time>,
    write_time: Option<Time>,
    idle_time: Option<Time>,
    drain_time: Option<Time>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct UpstreamTable {
    servers: Vec<ServerEntry>,
    #[serde(default)]
    balance: BalanceName,
    hash: Option<HashName>,
    #[serde(default)]
    breaker: BreakerTable,
    health: Option<HealthTable>,
    #[serde(default)]
    retry: RetryTable,
    queue: Option<usize>,
    queue_time: Option<Time>,
    connect_time: Option<Time>,
    response_time: Option<Time>,
    read_time: Option<Time>,
    idle_time: Option<Time>,
    tunnel_idle_time: Option<Time>,
    #[serde(default)]
    tls: UpstreamTlsTable,
    proxy_protocol: Option<ProxyVersion>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"http://HOST:PORT\" or { address, weight, max-requests }")]
enum ServerEntry {
    Address(ServerAddress),
    Table(ServerTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ServerTable {
    address: ServerAddress,
    weight: Option<u32>,
    max_requests: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BalanceName {
    #[default]
    RoundRobin,
    Weighted,
    LeastConnections,
    Hash,
    RandomTwo,
}

/// `client`, `path` or `header:NAME`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct HashName(HashKey);

impl TryFrom<String> for HashName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is nothing to hash; write client, path or header:NAME");
        match text.as_str() {
            "client" => Ok(Self(HashKey::Client)),
            "path" => Ok(Self(HashKey::Path)),
            other => {
                let name = other.strip_prefix("header:").ok_or_else(wrong)?;
                HeaderName::try_from(name).map(HashKey::Header).map(Self).map_err(|_| wrong())
            }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BreakerTable {
    failures: Option<u32>,
    open_time: Option<Time>,
    longest_open_time: Option<Time>,
    trials: Option<u32>,
    successes: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct HealthTable {
    path: HealthPath,
    statuses: Option<Statuses>,
    interval: Option<Time>,
    timeout: Option<Time>,
    healthy: Option<u32>,
    unhealthy: Option<u32>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct HealthPath(http::uri::PathAndQuery);

impl TryFrom<String> for HealthPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.parse().ok().filter(|_| text.starts_with('/'));
        parsed.map(Self).ok_or_else(|| format!("`{text}` is no path; it begins with /"))
    }
}

/// `200` or `200-399`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Statuses(std::ops::RangeInclusive<u16>);

impl TryFrom<String> for Statuses {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if 100 <= first && first <= last && last <= 599 => Ok(Self(first..=last)),
            _ => Err(format!("`{text}` are no statuses; write 200 or 200-399")),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RetryTable {
    attempts: Option<u32>,
    budget_percent: Option<u32>,
    budget_reserve: Option<u32>,
    #[serde(default)]
    statuses: Vec<Status>,
    body_bytes: Option<usize>,
}

#[derive(Deserialize)]
#[serde(try_from = "u16")]
struct Status(StatusCode);

impl TryFrom<u16> for Status {
    type Error = String;

    fn try_from(code: u16) -> Result<Self, String> {
        StatusCode::from_u16(code).map(Self).map_err(|_| format!("{code} is no status"))
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct UpstreamTlsTable {
    ca: Option<PathBuf>,
    name: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    http1_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RouteTable {
    host: Option<HostName>,
    path: Option<String>,
    #[serde(default)]
    strip_prefix: bool,
    replace_prefix: Option<String>,
    host_field: Option<String>,
    upstream: String,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct HostName(HostPattern);

impl TryFrom<String> for HostName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        HostPattern::parse(&text).map(Self)
    }
}

impl Config {
    /// Reads a configuration; `read` reads the files that it names (authorities to believe), by the names it uses.
    ///
    /// # Errors
    /// [`ConfigError`] with the line, what is wrong with it and what to do.
    pub fn from_toml(text: &str, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Self, ConfigError> {
        let file: File =
            toml::from_str(text).map_err(|error| ConfigError::Shape(error.to_string().trim_end().into()))?;
        let at = |offset: usize| {
            text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count().saturating_add(1)
        };
        let listens: Vec<usize> = file.listen.iter().map(|listen| listen.span().start).collect();
        let routes: Vec<usize> = file.routes.iter().map(|route| route.span().start).collect();
        let upstreams: BTreeMap<String, usize> =
            file.upstreams.iter().map(|(name, table)| (name.clone(), table.span().start)).collect();
        let line = |part: &Part| match part {
            Part::Listen(index) => listens.get(*index).map_or(1, |offset| at(*offset)),
            Part::Route(index) => routes.get(*index).map_or(1, |offset| at(*offset)),
            Part::Upstream(name) => upstreams.get(name).map_or(1, |offset| at(*offset)),
            Part::Whole => 1,
        };
        let found = file.into_config(read).and_then(|config| config.validate().map(|()| config));
        found.map_err(|error| ConfigError::Meaning { line: line(&error.at), message: error.to_string() })
    }
}

pub(super) type Read<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

impl File {
    fn into_config(self, read: Read<'_>) -> Result<Config, InvalidConfig> {
        let default = Config::default();
        let mut listen = Vec::new();
        for (index, table) in self.listen.into_iter().enumerate() {
            let wrong = |message| InvalidConfig { at: Part::Listen(index), message };
            listen.push(table.into_inner().into_listen(read).map_err(wrong)?);
        }
        let mut upstreams = BTreeMap::new();
        for (name, table) in self.upstreams {
            let upstream = table
                .into_inner()
                .into_upstream(read)
                .map_err(|message| InvalidConfig { at: Part::Upstream(name.clone()), message })?;
            upstreams.insert(name, upstream);
        }
        let mut routes = Vec::new();
        for (index, table) in self.routes.into_iter().enumerate() {
            let wrong = |message| InvalidConfig { at: Part::Route(index), message };
            routes.push(table.into_inner().into_route().map_err(wrong)?);
        }
        Ok(Config {
            listen,
            admin: self.admin,
            trusted: self.trusted,
            forwarded: self.forwarded,
            name: self.name.unwrap_or(default.name),
            limits: self.limits.over(default.limits),
            upstreams,
            routes,
        })
    }
}

impl ListenTable {
    fn into_listen(self, read: Read<'_>) -> Result<Listen, String> {
        let tls = self.tls.map(|table| table.into_tls(read)).transpose()?;
        Ok(Listen { address: self.address, tls, http3: self.http3, proxy_protocol: self.proxy_protocol })
    }
}

impl LimitsTable {
    fn over(self, default: Limits) -> Limits {
        Limits {
            connections: self.connections.unwrap_or(default.connections),
            requests: self.requests.unwrap_or(default.requests),
            header_bytes: self.header_bytes.unwrap_or(default.header_bytes),
            body_bytes: self.body_bytes.unwrap_or(default.body_bytes),
            header_time: time(self.header_time, default.header_time),
            body_time: time(self.body_time, default.body_time),
            write_time: time(self.write_time, default.write_time),
            idle_time: time(self.idle_time, default.idle_time),
            drain_time: time(self.drain_time, default.drain_time),
            ..default
        }
    }
}

fn time(given: Option<Time>, default: Duration) -> Duration {
    given.map_or(default, |time| time.0)
}

impl UpstreamTable {
    fn into_upstream(self, read: Read<'_>) -> Result<UpstreamConfig, String> {
        let default = UpstreamConfig::default();
        let balance = match (self.balance, self.hash) {
            (BalanceName::Hash, key) => Policy::Hash(key.map_or(HashKey::Client, |key| key.0)),
            (_, Some(_)) => return Err("`hash` goes with balance = \"hash\"".into()),
            (BalanceName::RoundRobin, None) => Policy::RoundRobin,
            (BalanceName::Weighted, None) => Policy::Weighted,
            (BalanceName::LeastConnections, None) => Policy::LeastConnections,
            (BalanceName::RandomTwo, None) => Policy::RandomTwo,
        };
        let servers: Vec<ServerConfig> = self.servers.into_iter().map(ServerEntry::into_server).collect();
        let secure = servers.iter().any(|server| server.address.is_secure());
        let (breaker, retry) = (BreakerOptions::default(), RetryOptions::default());
        let health = self.health.map(|table| {
            let default = HealthCheck::new(table.path.0);
            HealthCheck {
                statuses: table.statuses.map_or(default.statuses, |statuses| statuses.0),
                interval: time(table.interval, default.interval),
                timeout: time(table.timeout, default.timeout),
                healthy: table.healthy.unwrap_or(default.healthy),
                unhealthy: table.unhealthy.unwrap_or(default.unhealthy),
                path: default.path,
            }
        });
        Ok(UpstreamConfig {
            servers,
            balance,
            breaker: BreakerOptions {
                failures: self.breaker.failures.unwrap_or(breaker.failures),
                open_time: time(self.breaker.open_time, breaker.open_time),
                longest_open_time: time(self.breaker.longest_open_time, breaker.longest_open_time),
                trials: self.breaker.trials.unwrap_or(breaker.trials),
                successes: self.breaker.successes.unwrap_or(breaker.successes),
            },
            health,
            retry: RetryOptions {
                attempts: self.retry.attempts.unwrap_or(retry.attempts),
                budget_percent: self.retry.budget_percent.unwrap_or(retry.budget_percent),
                budget_reserve: self.retry.budget_reserve.unwrap_or(retry.budget_reserve),
                statuses: self.retry.statuses.into_iter().map(|status| status.0).collect(),
                body_bytes: self.retry.body_bytes.unwrap_or(retry.body_bytes),
            },
            queue: self.queue.unwrap_or(default.queue),
            queue_time: time(self.queue_time, default.queue_time),
            connect_time: time(self.connect_time, default.connect_time),
            response_time: time(self.response_time, default.response_time),
            read_time: time(self.read_time, default.read_time),
            idle_time: time(self.idle_time, default.idle_time),
            tunnel_idle_time: time(self.tunnel_idle_time, default.tunnel_idle_time),
            tls: self.tls.into_tls(secure, read)?,
            proxy_protocol: self.proxy_protocol,
        })
    }
}

impl ServerEntry {
    fn into_server(self) -> ServerConfig {
        match self {
            Self::Address(address) => ServerConfig::new(address),
            Self::Table(ServerTable { address, weight, max_requests }) => {
                let default = ServerConfig::new(address);
                ServerConfig {
                    weight: weight.unwrap_or(default.weight),
                    max_requests: max_requests.unwrap_or(default.max_requests),
                    address: default.address,
                }
            }
        }
    }
}

impl UpstreamTlsTable {
    fn into_tls(self, secure: bool, read: Read<'_>) -> Result<UpstreamTls, String> {
        let trust = match (&self.ca, self.insecure) {
            (Some(_), true) => return Err("`tls.ca` and `tls.insecure` exclude each other".into()),
            (Some(path), false) => Some(authorities(Some(path), "tls.ca", read)?),
            (None, true) => Some(UpstreamTrust::InsecureAnyone),
            (None, false) if secure => authorities(None, "tls.ca", read).ok(),
            (None, false) => None,
        };
        Ok(UpstreamTls { trust, name: self.name, http1_only: self.http1_only })
    }
}

/// The authorities of the file that `setting` names, or the system's.
pub(super) fn authorities(
    path: Option<&Path>,
    setting: &str,
    read: Read<'_>,
) -> Result<UpstreamTrust, String> {
    let Some(path) = path else {
        let bundle = BUNDLES.iter().find_map(|path| read(Path::new(path)).ok());
        let usable = bundle.filter(|text| Trust::from_bundle(text).is_ok());
        let missing = || format!("this system has no list of trusted authorities: name one with {setting}");
        return Ok(UpstreamTrust::Bundle(Bytes::from(usable.ok_or_else(missing)?)));
    };
    let text = read(path).map_err(|error| format!("{setting} {}: {error}", path.display()))?;
    Trust::from_pem(&text).map_err(|error| format!("{setting} {}: {error}", path.display()))?;
    Ok(UpstreamTrust::Pem(Bytes::from(text)))
}

impl RouteTable {
    fn into_route(self) -> Result<Route, String> {
        let rewrite = match (self.strip_prefix, self.replace_prefix) {
            (true, Some(_)) => return Err("`strip-prefix` and `replace-prefix` exclude each other".into()),
            (true, None) => Rewrite::Strip,
            (false, Some(prefix)) => Rewrite::Replace(prefix),
            (false, None) => Rewrite::Keep,
        };
        let host_field =
            match self.host_field.as_deref() {
                None | Some("keep") => HostField::Keep,
                Some("server") => HostField::Server,
                Some(name) => {
                    let known =
                        name.parse::<http::uri::Authority>().ok().filter(|name| !name.as_str().contains('@'));
                    let value = known.and_then(|name| HeaderValue::from_str(name.as_str()).ok());
                    HostField::Name(value.ok_or_else(|| {
                        format!("host-field `{name}` is no host; write keep, server or a host")
                    })?)
                }
            };
        Ok(Route {
            host: self.host.map_or(HostPattern::Any, |host| host.0),
            path: self.path.unwrap_or_else(|| "/".into()),
            rewrite,
            host_field,
            upstream: self.upstream,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::from_toml(text, &|_| Err(io::ErrorKind::NotFound.into()))
    }

    const SMALL: &str = "[upstreams.app]\nservers = [\"http://a:1\"]\n[[routes]]\nupstream = \"app\"\n";

    #[test]
    fn the_smallest_has_defaults() {
        let config = parse(SMALL).unwrap();
        let server = ServerConfig::new("http://a:1".parse().unwrap());
        let upstream = UpstreamConfig { servers: vec![server], ..UpstreamConfig::default() };
        let expected = Config {
            upstreams: BTreeMap::from([("app".into(), upstream)]),
            routes: vec![Route::to("app")],
            ..Config::default()
        };
        assert_eq!(config, expected);
    }

    /// What a user gets wrong, and what is said about it.
    #[test]
    fn errors_name_the_line_and_what_to_do() {
        let after = |text: &str| format!("{SMALL}{text}");
        let listen = |tls: &str| after(&format!("[[listen]]\naddress = \"127.0.0.1:1\"\ntls = {{ {tls} }}"));
        for (text, expected) in [
            (String::new(), vec!["line 1", "[[routes]]"]),
            (after("colour = 1"), vec!["line 5", "unknown field `colour`", "strip-prefix"]),
            (after("[limits]\nbody-time = \"5 parsecs\""), vec!["line 6", "5 parsecs", "write it as 250ms"]),
            (
                after("[[routes]]\npath = \"/b\"\nupstream = \"other\""),
                vec!["line 5", "no upstream `other`", "app"],
            ),
            (after("[[routes]]\nupstream = \"app\""), vec!["line 5", "route 1 has the same host and path"]),
            (after("[[routes]]\npath = \"x\"\nupstream = \"app\""), vec!["line 5", "must begin with /"]),
            (after("[[routes]]\nhost = \"a b\"\nupstream = \"app\""), vec!["line 6", "`a b` is no host"]),
            (after("[upstreams.b]\nservers = []"), vec!["line 5", "upstream `b`", "1 to 1024 servers"]),
            (after("[upstreams.b]\nservers = [\"gopher://x\"]"), vec!["line 6", "http://HOST:PORT"]),
            (after("[upstreams.b]\nservers = [\"https://x\"]"), vec!["line 5", "tls.ca"]),
            (
                after("[upstreams.b]\nservers = [\"https://x\"]\ntls = { ca = \"none.pem\" }"),
                vec!["line 5", "none.pem", "not found"],
            ),
            (after("[upstreams.b]\nservers = [\"http://x\", \"http://x:80\"]"), vec!["line 5", "twice"]),
            (
                after("[upstreams.b]\nservers = [{ address = \"http://x\", weight = 0 }]"),
                vec!["line 5", "1 or more"],
            ),
            (
                after("[upstreams.b]\nservers = [\"http://x\"]\nbalance = \"best\""),
                vec!["line 7", "round-robin"],
            ),
            (
                after("[upstreams.b]\nservers = [\"http://x\"]\nhash = \"path\""),
                vec!["line 5", "balance = \"hash\""],
            ),
            (
                after("[upstreams.b]\nservers = [\"http://x\"]\nretry = { statuses = [404] }"),
                vec!["line 5", "must be 5xx"],
            ),
            (after("[[listen]]\naddress = \"nowhere\""), vec!["line 6", "socket address"]),
            (after("[[listen]]\naddress = \"127.0.0.1:1\"\nhttp3 = true"), vec!["line 5", "certificate"]),
            (
                after("[[listen]]\naddress = \"127.0.0.1:1\"\ntls = { key = \"k\" }"),
                vec!["line 5", "`certificate` and `key`"],
            ),
            (listen("acme = [\"a.test\"]"), vec!["line 5", "acme-agree = true"]),
            (listen("acme = [\"a.test\"], acme-agree = true"), vec!["line 5", "acme-cache"]),
            (
                listen("acme = [\"a.test\"], acme-agree = true, acme-cache = \"c\", acme-ca = \"none.pem\""),
                vec!["line 5", "tls.acme-ca none.pem", "not found"],
            ),
            (
                listen("certificate = \"c\", key = \"k\", acme-agree = true"),
                vec!["line 5", "goes with `acme`"],
            ),
            (listen("acme-colour = 1"), vec!["line 7", "unknown field", "acme-directory"]),
            (after("[[listen"), vec!["line 5"]),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            for part in expected {
                assert!(error.contains(part), "no `{part}` in: {error}\nfor:\n{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, cut in 0_usize..200) {
            let _ = parse(&text);
            let whole = format!("{SMALL}[[listen]]\naddress = \"[::1]:8\"\n");
            let _ = parse(whole.get(..cut).unwrap_or(&whole));
        }
    }
}

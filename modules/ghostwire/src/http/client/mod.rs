//! An HTTP client over the seam: HTTP/1.1 and HTTP/2, with TLS or without, and HTTP/3.
//!
//! Connections are driven by whoever waits for their response: there are no background tasks. A client belongs to the
//! shard of its runtime. It has no store of cookies: those who want one set `Cookie` themselves.
//!
//! | file | what is inside |
//! |---|---|
//! | `exclusive` | an HTTP/1.1 connection, one exchange at a time |
//! | `multiplexed` | an HTTP/2 connection that many requests share |
//! | `redirect` | where a redirect leads |
//! | `proxy` | going through a proxy |
//! | `alternative` | where else servers say they are: HTTP/3 |
//! | `tunnel` | a stream of HTTP/2 that leaves HTTP |
//! | `transport` | a stream with TLS or without |
//! | `upgrade` | leaving HTTP for another protocol |

mod alternative;
mod exclusive;
mod multiplexed;
mod proxy;
mod redirect;
mod transport;
pub(crate) mod tunnel;
mod upgrade;

pub use alternative::{Alternatives, InvalidAlternatives};
pub use proxy::Proxy;
pub(crate) use upgrade::Opened;

use super::body::{Body, BodyError};
use super::http3_client::{Http3Client, Http3Error, Unanswered};
use bytes::Bytes;
use exclusive::{Failure, Open};
use http::header::{HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri, Version};
use hyper::client::conn::{http1, http2};
use hyper::rt::Timer;
use multiplexed::{Multiplexed, Spawner};
use redirect::Origin;
use shroud_hyper::{HyperIo, HyperTimer};
use shroud_runtime::flow::RetryBudget;
use shroud_runtime::{ConnectOptions, Runtime, RuntimeExt};
use shroud_rustls::rustls::ClientConfig;
use shroud_rustls::{Failed, HandshakeError, alpn, connect};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use transport::Transport;

/// Requests that may be repeated after a failure, for a hundred that were sent; and how many at first.
const RETRY_PERCENT: u32 = 10;
const RETRY_RESERVE: u32 = 10;

/// What HTTP/2 servers may send before it is read.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Says which alternative is asked (RFC 7838, 5).
const ALT_USED: HeaderName = HeaderName::from_static("alt-used");
/// Longer than anybody waits.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A client's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// For resolving a host and connecting to it. Default 10 s.
    pub connect_time: Duration,
    /// For a whole exchange, connecting and redirects included; of [`Client::fetch`], up to the response's body.
    /// Default 30 s.
    pub request_time: Duration,
    /// How long the next piece of a body may take. Default 30 s.
    pub read_time: Duration,
    /// Bytes of a response's body. Default 16 MiB.
    pub body_bytes: u64,
    /// Bytes of a response's header. Default 64 KiB.
    pub header_bytes: usize,
    /// Idle connections kept for each host. Default 32.
    pub idle_connections: usize,
    /// How long an idle connection is kept: shorter than servers keep theirs. Default 30 s.
    pub idle_time: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect_time: Duration::from_secs(10),
            request_time: Duration::from_secs(30),
            read_time: Duration::from_secs(30),
            body_bytes: 16 * 1024 * 1024,
            header_bytes: 64 * 1024,
            idle_connections: 32,
            idle_time: Duration::from_secs(30),
        }
    }
}

/// A request that got no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is not one this client can reach.
    #[error("not an http:// address with a host, nor an https:// one for a client with TLS: {0}")]
    Address(Uri),
    /// The host's name did not resolve.
    #[error("looking up {host} failed")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No connection could be made.
    #[error("connecting to {host} failed: {source}")]
    Connect {
        /// Host and port.
        host: String,
        /// Why, for the last address that was tried.
        source: io::Error,
    },
    /// TLS could not be agreed on.
    #[error("TLS with {host} failed: {source}")]
    Tls {
        /// Host and port.
        host: String,
        /// Why.
        source: HandshakeError,
    },
    /// The proxy did not open a tunnel.
    #[error("the proxy opened no tunnel to {target} ({})", .status.as_ref().map_or("no answer of HTTP", StatusCode::as_str))]
    Proxy {
        /// Host and port of the server.
        target: String,
        /// The proxy's answer, unless that was none of HTTP.
        status: Option<StatusCode>,
    },
    /// More redirects than allowed.
    #[error("more than {0} redirects")]
    Redirects(u32),
    /// It took too long. The server may have received the request.
    #[error("no response within {0:?}")]
    TimedOut(Duration),
    /// The connection failed. The server may have received the request.
    #[error("the connection failed before the response was complete")]
    Connection(#[source] hyper::Error),
    /// HTTP/3 failed. The server may have received the request.
    #[error(transparent)]
    Http3(#[from] Http3Error),
    /// The response's body could not be read.
    #[error("reading the response failed: {0}")]
    Body(#[from] BodyError),
}

impl ClientError {
    /// The code of HTTP/2 (RFC 9113, 7) that the connection or the stream ended with, whichever side has sent it.
    #[must_use]
    pub fn http2_code(&self) -> Option<u32> {
        match self {
            Self::Connection(error) | Self::Body(BodyError::Broken(error)) => {
                http2_error(error)?.reason().map(u32::from)
            }
            _ => None,
        }
    }
}

/// What HTTP/2 says, of an error of hyper's.
fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            return Some(error);
        }
        source = cause.source();
    }
    None
}

/// An HTTP client with a pool of connections for each server. Clones share it.
///
/// No server may push: one that does has its connection closed with PROTOCOL_ERROR (RFC 9113, 8.4).
///
/// As made, it speaks HTTP/1.1 to `http` addresses and follows no redirects. A connection that serves HTTP/2 is shared by
/// all requests to its server; several that begin together may open one each.
pub struct Client<R: Runtime> {
    shared: Arc<Shared<R>>,
}

struct Shared<R: Runtime> {
    runtime: R,
    limits: ClientLimits,
    options: Options<R>,
    retries: RetryBudget,
    pool: Mutex<Pool<R>>,
}

/// When to speak HTTP/3.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum UseHttp3 {
    /// Always: to `https` addresses, and to no others. Proxies do not carry it.
    Always,
    /// Where a server has announced it in an earlier response over TLS (`Alt-Svc`, RFC 7838). When it cannot be reached there, the
    /// other versions are used, for five minutes before it is tried again. Not through a proxy.
    WhenAnnounced(Alternatives),
}

#[derive(Clone)]
struct Options<R: Runtime> {
    tls: Option<Arc<ClientConfig>>,
    http2_in_clear: bool,
    redirects: u32,
    proxy: Option<Proxy>,
    http3: Option<(Http3Client<R>, UseHttp3)>,
    server: Option<Server>,
    once: bool,
}

impl<R: Runtime> Default for Options<R> {
    fn default() -> Self {
        Self {
            tls: None,
            http2_in_clear: false,
            redirects: 0,
            proxy: None,
            server: None,
            once: false,
            http3: None,
        }
    }
}

/// Who is asked, whatever a request's address says.
#[derive(Clone)]
struct Server {
    host: String,
    port: u16,
    /// That its certificate must be for.
    name: String,
}

struct Pool<R: Runtime> {
    idle: BTreeMap<String, Vec<Open<R>>>,
    shared: BTreeMap<String, (Multiplexed, Instant)>,
}

/// A connection that has just been made.
enum Fresh<R: Runtime> {
    Exclusive(Open<R>),
    Multiplexed(Multiplexed),
}

/// Whom a request is for.
struct Target {
    secure: bool,
    host: String,
    port: u16,
    /// That a certificate must be for.
    name: String,
    /// Of the connections that serve it.
    key: String,
    /// The whole address, and the `Host` of it.
    address: Uri,
    named: HeaderValue,
    /// A proxy is asked by the whole address, a server of HTTP/1.1 by the path.
    by_address: bool,
}

impl Target {
    /// Gives a request its address, as an HTTP/2 server wants it.
    fn name(&self, request: &mut Request<Body>) {
        request.uri_mut().clone_from(&self.address);
        request.headers_mut().remove(HOST);
        *request.version_mut() = Version::HTTP_2;
    }

    /// Gives a request its address, as an HTTP/1.1 server wants it (RFC 9112, 3.2).
    fn name_for_http1(&self, request: &mut Request<Body>) {
        *request.uri_mut() = match self.address.path_and_query() {
            Some(path) if !self.by_address => Uri::from(path.clone()),
            _ => self.address.clone(),
        };
        request.headers_mut().insert(HOST, self.named.clone());
        *request.version_mut() = Version::HTTP_11;
    }
}

impl<R: Runtime> Clone for Client<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<R: Runtime> std::fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl<R: Runtime> Client<R> {
    /// A client without connections.
    pub fn new(runtime: R, limits: ClientLimits) -> Self {
        Self::with_options(runtime, limits, Options::default())
    }

    fn with_options(runtime: R, limits: ClientLimits, options: Options<R>) -> Self {
        let retries = RetryBudget::new(RETRY_PERCENT, RETRY_RESERVE);
        let pool = Mutex::new(Pool { idle: BTreeMap::new(), shared: BTreeMap::new() });
        Self { shared: Arc::new(Shared { runtime, limits, options, retries, pool }) }
    }

    fn change(&self, change: impl FnOnce(&mut Options<R>)) -> Self {
        let Shared { runtime, limits, options, .. } = &*self.shared;
        let mut options = options.clone();
        change(&mut options);
        Self::with_options(runtime.clone(), limits.clone(), options)
    }

    /// Also for `https` addresses. HTTP/2 is spoken where the server chooses it from the protocols of `tls` (ALPN).
    #[must_use]
    pub fn with_tls(self, tls: Arc<ClientConfig>) -> Self {
        self.change(|options| options.tls = Some(tls))
    }

    /// Speaks HTTP/2 to `http` addresses, whose servers must know it (RFC 9113, 3.3).
    #[must_use]
    pub fn with_http2_in_clear(self) -> Self {
        self.change(|options| options.http2_in_clear = true)
    }

    /// Follows up to so many redirects that need no body to be sent twice. `Authorization` and `Cookie` are not sent to
    /// another scheme, host or port than they were meant for.
    #[must_use]
    pub fn with_redirects(self, most: u32) -> Self {
        self.change(|options| options.redirects = most)
    }

    /// Asks this server whatever the address of a request, which only tells it what is asked for (`Host`, `:authority`,
    /// path). With TLS, its certificate must be for `name`.
    #[must_use]
    pub(crate) fn with_server(self, host: &str, port: u16, name: &str) -> Self {
        let server = Server { host: host.to_owned(), port, name: name.to_owned() };
        self.change(|options| options.server = Some(server))
    }

    /// Repeats no request that failed on a new connection: whoever calls it does that.
    #[must_use]
    pub(crate) fn without_repeating(self) -> Self {
        self.change(|options| options.once = true)
    }

    /// Goes through `proxy`.
    #[must_use]
    pub fn with_proxy(self, proxy: Proxy) -> Self {
        self.change(|options| options.proxy = Some(proxy))
    }

    /// Speaks HTTP/3 by `http3`, whose limits are its own.
    #[must_use]
    pub fn with_http3(self, http3: Http3Client<R>, when: UseHttp3) -> Self {
        self.change(|options| options.http3 = Some((http3, when)))
    }

    /// Whose connections these are.
    pub(crate) fn runtime(&self) -> &R {
        &self.shared.runtime
    }

    /// The same for calls that may go on for ever: HTTP/2 only, and no time limits but those for connecting.
    pub(crate) fn for_calls(&self) -> Self {
        let Shared { runtime, limits, options, .. } = &*self.shared;
        let limits = ClientLimits { read_time: NEVER, ..limits.clone() };
        let options = Options { http2_in_clear: true, http3: None, redirects: 0, ..options.clone() };
        Self::with_options(runtime.clone(), limits, options)
    }

    /// As [`Client::fetch`], however long that takes.
    pub(crate) async fn open(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        // Large, and held by futures that callers nest.
        Box::pin(self.exchange(request)).await
    }

    /// Sends a request to the host of its address, and reads the whole response.
    ///
    /// When an idle connection turns out to be closed, a request that it did not take is sent again over another one,
    /// and so is, over a new one, one without a body whose method is idempotent (RFC 9110, 9.2.2). Such a one is also
    /// repeated once after a failure on a new connection, while those are few. Nothing else is repeated.
    ///
    /// Cancel safety: dropping the future gives the exchange up; the server may have received the request.
    ///
    /// # Errors
    /// [`ClientError`]. Any status is a response.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Bytes>, ClientError> {
        let Shared { runtime, limits, .. } = &*self.shared;
        let exchange = async {
            let (head, body) = self.exchange(request).await?.into_parts();
            Ok(Response::from_parts(head, body.bytes(limits.body_bytes).await?))
        };
        match runtime.timeout(limits.request_time, exchange).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::TimedOut(limits.request_time)),
        }
    }

    /// As [`Client::send`], but hands the body on as it comes, of any length. Reading it drives the connection: a body
    /// that is not read holds the server back.
    ///
    /// # Errors
    /// [`ClientError`]. Any status is a response.
    pub async fn fetch(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let Shared { runtime, limits, .. } = &*self.shared;
        match runtime.timeout(limits.request_time, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::TimedOut(limits.request_time)),
        }
    }

    /// One request with the redirects it leads to.
    async fn exchange(&self, mut request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let most = self.shared.options.redirects;
        if most == 0 {
            return self.once(request).await;
        }
        for _ in 0..=most {
            let origin = Origin::of(&request);
            let response = self.once(request).await?;
            match origin.follow(&response) {
                Some(next) => request = next,
                None => return Ok(response),
            }
        }
        Err(ClientError::Redirects(most))
    }

    async fn once(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let (target, request) = self.address(request)?;
        let request = match self.over_http3(&target, request).await? {
            Ok(response) => return Ok(response),
            Err(request) => *request,
        };
        let response = self.over_tcp(&target, request).await?;
        if let Some((_, UseHttp3::WhenAnnounced(known))) = &self.shared.options.http3
            && target.secure
        {
            known.learn(&target.key, response.headers(), self.shared.runtime.unix_time());
        }
        Ok(response)
    }

    /// The response over HTTP/3, or the request back when that is not to be used for it.
    async fn over_http3(
        &self,
        target: &Target,
        mut request: Request<Body>,
    ) -> Result<Result<Response<Body>, Box<Request<Body>>>, ClientError> {
        let Shared { runtime, options, .. } = &*self.shared;
        let (client, elsewhere, known) = match &options.http3 {
            Some((client, UseHttp3::Always)) => (client, None, None),
            Some((client, UseHttp3::WhenAnnounced(known)))
                if target.secure && options.proxy.is_none() && options.server.is_none() =>
            {
                match known.find(&target.key, runtime.unix_time()) {
                    Some(place) => (client, Some(place), Some(known)),
                    None => return Ok(Err(Box::new(request))),
                }
            }
            _ => return Ok(Err(Box::new(request))),
        };
        target.name(&mut request);
        *request.version_mut() = Version::HTTP_3;
        if let Some((host, port)) = &elsewhere {
            let host = if host.is_empty() { &target.host } else { host };
            if let Ok(value) = HeaderValue::try_from(format!("{host}:{port}")) {
                request.headers_mut().insert(ALT_USED, value);
            }
        }
        match (client.send_to(request, elsewhere).await, known) {
            (Ok(response), _) => Ok(Ok(response)),
            (Err(Unanswered { error, unsent: Some(mut request) }), Some(known)) => {
                tracing::debug!(%error, origin = target.key, "the alternative cannot be reached");
                known.is_broken(&target.key, runtime.unix_time());
                request.headers_mut().remove(ALT_USED);
                Ok(Err(request))
            }
            (Err(Unanswered { error, .. }), _) => Err(error.into()),
        }
    }

    async fn over_tcp(
        &self,
        target: &Target,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, ClientError> {
        self.shared.retries.deposit();
        if let Some(shared) = self.take_shared(&target.key) {
            let copy = repeatable(&request);
            request = match self.ask_shared(shared, target, request).await {
                Err(unsent) => *unsent,
                Ok(Err(ClientError::Connection(error))) => copy.ok_or(ClientError::Connection(error))?,
                Ok(response) => return response,
            };
        }
        while let Some(open) = self.take_idle(&target.key).await {
            let copy = repeatable(&request);
            request = match open.ask(self, target, request).await {
                Err(unsent) => *unsent,
                Ok(Err(Failure::Connection(error))) => {
                    // On a new one: a request that ends connections would end all that are kept.
                    request = copy.ok_or(ClientError::Connection(error))?;
                    break;
                }
                Ok(Err(Failure::Ended)) => return Err(BodyError::TimedOut.into()),
                Ok(Ok(response)) => return Ok(response),
            };
        }
        let copy = repeatable(&request);
        match (self.on_fresh(target, request).await, copy) {
            (Err(ClientError::Connection(_)), Some(again))
                if !self.shared.options.once && self.shared.retries.withdraw() =>
            {
                self.on_fresh(target, again).await
            }
            (result, _) => result,
        }
    }

    async fn on_fresh(&self, target: &Target, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let unsent = || ClientError::Connect {
            host: target.key.clone(),
            source: io::ErrorKind::ConnectionAborted.into(),
        };
        match Box::pin(self.connect(target)).await? {
            Fresh::Multiplexed(shared) => {
                self.ask_shared(shared, target, request).await.unwrap_or_else(|_| Err(unsent()))
            }
            Fresh::Exclusive(open) => match open.ask(self, target, request).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(Failure::Connection(error))) => Err(ClientError::Connection(error)),
                Ok(Err(Failure::Ended)) => Err(BodyError::TimedOut.into()),
                Err(_) => Err(unsent()),
            },
        }
    }

    async fn ask_shared(
        &self,
        mut shared: Multiplexed,
        target: &Target,
        mut request: Request<Body>,
    ) -> Result<Result<Response<Body>, ClientError>, Box<Request<Body>>> {
        target.name(&mut request);
        let timer = HyperTimer::new(self.shared.runtime.clone());
        let read_time = self.shared.limits.read_time;
        let answer = shared.ask(request, move || timer.sleep(read_time)).await?;
        Ok(answer.map_err(ClientError::Connection))
    }

    /// Whom a request is for.
    fn address(&self, mut request: Request<Body>) -> Result<(Target, Request<Body>), ClientError> {
        let Options { tls, proxy, http3, server, .. } = &self.shared.options;
        let uri = std::mem::take(request.uri_mut());
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let able = tls.is_some() || matches!(http3, Some((_, UseHttp3::Always)));
        let known = uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP) || (secure && able);
        let Some(authority) = uri.authority().filter(|authority| known && !authority.host().is_empty())
        else {
            return Err(ClientError::Address(uri));
        };
        let default = if secure { 443 } else { 80 };
        let (host, port) = (authority.host().to_owned(), authority.port_u16().unwrap_or(default));
        let named = match authority.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let address = Uri::builder().scheme(scheme).authority(named.as_str()).path_and_query(path).build();
        let (Ok(named), Ok(address)) = (HeaderValue::try_from(named), address) else {
            return Err(ClientError::Address(uri));
        };
        let (host, port, name) = match server {
            Some(Server { host, port, name }) => (host.clone(), *port, name.clone()),
            None => (host.clone(), port, bare(&host).to_owned()),
        };
        let key = match proxy {
            Some(proxy) if !secure => {
                if let Some(value) = &proxy.authorization {
                    request.headers_mut().insert(PROXY_AUTHORIZATION, value.clone());
                }
                format!("{}:{}", proxy.host, proxy.port)
            }
            _ if secure => format!("https://{host}:{port}"),
            _ => format!("{host}:{port}"),
        };
        let by_address = !secure && proxy.is_some();
        Ok((Target { secure, host, port, name, key, address, named, by_address }, request))
    }

    async fn connect(&self, target: &Target) -> Result<Fresh<R>, ClientError> {
        let Shared { runtime, limits, options, .. } = &*self.shared;
        let (host, port) = match &options.proxy {
            Some(proxy) => (&proxy.host, proxy.port),
            None => (&target.host, target.port),
        };
        let mut stream = self.connect_tcp(host, port).await?;
        let Some(tls) = options.tls.as_ref().filter(|_| target.secure) else {
            let multiplexed = options.http2_in_clear && options.proxy.is_none();
            return self.establish(target, Transport::Plain(stream), multiplexed).await;
        };
        let secured = async {
            if let Some(proxy) = &options.proxy {
                proxy.tunnel(&mut stream, &format!("{}:{}", target.host, target.port)).await?;
            }
            connect(stream, tls, &target.name).await.map_err(|Failed { error, .. }| ClientError::Tls {
                host: format!("{}:{}", target.host, target.port),
                source: error,
            })
        };
        let stream = match runtime.timeout(limits.connect_time, secured).await {
            Ok(stream) => stream?,
            Err(_) => return Err(ClientError::TimedOut(limits.connect_time)),
        };
        let multiplexed = stream.handshake().protocol.as_deref() == Some(alpn::H2);
        self.establish(target, Transport::Tls(stream), multiplexed).await
    }

    async fn connect_tcp(&self, host: &str, port: u16) -> Result<R::Stream, ClientError> {
        let Shared { runtime, limits, .. } = &*self.shared;
        let addresses = match runtime.timeout(limits.connect_time, runtime.lookup(bare(host), port)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(source)) => return Err(ClientError::Lookup { host: host.to_owned(), source }),
            Err(_) => return Err(ClientError::TimedOut(limits.connect_time)),
        };
        let options = ConnectOptions { timeout: Some(limits.connect_time), ..ConnectOptions::default() };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match runtime.connect(address, options).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(ClientError::Connect { host: format!("{host}:{port}"), source: last })
    }

    /// Begins HTTP on a stream.
    async fn establish(
        &self,
        target: &Target,
        stream: Transport<R::Stream>,
        multiplexed: bool,
    ) -> Result<Fresh<R>, ClientError> {
        let Shared { runtime, limits, .. } = &*self.shared;
        let io = HyperIo::new(stream);
        if !multiplexed {
            let (sender, connection) = http1::Builder::new()
                .max_header_size(limits.header_bytes)
                .handshake(io)
                .await
                .map_err(ClientError::Connection)?;
            let connection = Box::pin(connection);
            return Ok(Fresh::Exclusive(Open { sender, connection, since: runtime.now() }));
        }
        let spawner = Spawner::default();
        let (sender, connection) = http2::Builder::new(spawner.clone())
            .timer(HyperTimer::new(runtime.clone()))
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(io)
            .await
            .map_err(ClientError::Connection)?;
        let shared = Multiplexed::new(runtime, sender, connection, spawner);
        let mut pool = self.pool();
        pool.shared.insert(target.key.clone(), (shared.clone(), runtime.now()));
        Ok(Fresh::Multiplexed(shared))
    }

    /// The server's HTTP/2 connection, if there is one that still works.
    fn take_shared(&self, key: &str) -> Option<Multiplexed> {
        let now = self.shared.runtime.now();
        let mut pool = self.pool();
        let (shared, since) = pool.shared.get_mut(key)?;
        let idle = now.saturating_duration_since(*since) > self.shared.limits.idle_time;
        if idle && !shared.is_used() || !shared.is_open() {
            pool.shared.remove(key);
            return None;
        }
        *since = now;
        Some(shared.clone())
    }

    /// An idle HTTP/1.1 connection that still works, as far as can be told.
    async fn take_idle(&self, key: &str) -> Option<Open<R>> {
        loop {
            let mut open = self.pool().idle.get_mut(key)?.pop()?;
            let age = self.shared.runtime.now().saturating_duration_since(open.since);
            if age <= self.shared.limits.idle_time && open.is_ready().await {
                return Some(open);
            }
        }
    }

    fn keep(&self, key: &str, mut open: Open<R>) {
        if open.sender.is_closed() {
            return;
        }
        open.since = self.shared.runtime.now();
        let mut pool = self.pool();
        let list = match pool.idle.get_mut(key) {
            Some(list) => list,
            None => pool.idle.entry(key.to_owned()).or_default(),
        };
        if list.len() < self.shared.limits.idle_connections {
            list.push(open);
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool<R>> {
        self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address's host without the brackets of IPv6.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// A copy of a request that may be sent twice.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if !request.method().is_idempotent() || !http_body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

//! An HTTP client over the seam: HTTP/1.1 and HTTP/2, with TLS or without, and HTTP/3.
//!
//! Connections are driven by whoever waits for their response; those that nobody waits for are closed after a time by a task
//! of the client's. A client belongs to the shard of its runtime.
//!
//! | file | what is inside |
//! |---|---|
//! | `limits` | how long it waits, how much it takes and keeps |
//! | `error` | why there is no response |
//! | `target` | whom a request is for |
//! | `attempt` | sending a request over TCP, and sending it again |
//! | `pool` | connections that are kept, and how many there may be |
//! | `connect` | new connections |
//! | `exclusive` | an HTTP/1.1 connection, one exchange at a time |
//! | `multiplexed` | an HTTP/2 connection that many requests share |
//! | `redirect` | where a redirect leads |
//! | `cookies` | what servers want to be told again |
//! | `proxy` | going through a proxy |
//! | `alternative` | where else servers say they are: HTTP/3 |
//! | `tunnel` | a stream of HTTP/2 that leaves HTTP |
//! | `transport` | a stream with TLS or without |
//! | `upgrade` | leaving HTTP for another protocol |

mod alternative;
mod attempt;
mod connect;
pub mod cookies;
mod error;
mod exclusive;
mod limits;
mod multiplexed;
mod pool;
mod proxy;
mod redirect;
mod target;
mod transport;
pub(crate) mod tunnel;
mod upgrade;

pub use alternative::{Alternatives, InvalidAlternatives};
pub use cookies::Cookies;
pub use error::ClientError;
pub use limits::ClientLimits;
pub use proxy::Proxy;
pub(crate) use upgrade::Opened;

use super::body::Body;
use super::http3_client::{Http3Client, Unanswered};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Request, Response, Version};
use pool::Pool;
use redirect::Origin;
use shroud_runtime::flow::RetryBudget;
use shroud_runtime::sync::Event;
use shroud_runtime::{Class, Runtime, RuntimeExt};
use shroud_rustls::rustls::ClientConfig;
use shroud_wire::proxy_protocol;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use target::{Server, Target};

/// What HTTP/2 servers may send before it is read.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Says which alternative is asked (RFC 7838, 5).
const ALT_USED: HeaderName = HeaderName::from_static("alt-used");
/// Longer than anybody waits.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

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
    /// The first connection is kept, or the client is gone.
    kept: Arc<Event>,
}

impl<R: Runtime> Drop for Shared<R> {
    fn drop(&mut self) {
        self.kept.notify(usize::MAX);
    }
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
    cookies: Option<Cookies>,
    proxy: Option<Proxy>,
    http3: Option<(Http3Client<R>, UseHttp3)>,
    server: Option<Server>,
    once: bool,
    /// Connections begin with a PROXY header, and serve one request.
    introduced: Option<proxy_protocol::Version>,
}

impl<R: Runtime> Default for Options<R> {
    fn default() -> Self {
        Self {
            tls: None,
            http2_in_clear: false,
            redirects: 0,
            cookies: None,
            proxy: None,
            server: None,
            once: false,
            introduced: None,
            http3: None,
        }
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
    /// A client without connections. The task that closes those that are idle is a child of the caller's.
    pub fn new(runtime: R, limits: ClientLimits) -> Self {
        Self::with_options(runtime, limits, Options::default())
    }

    fn with_options(runtime: R, limits: ClientLimits, options: Options<R>) -> Self {
        let retries = RetryBudget::new(limits.retry_percent, limits.retry_reserve);
        let (pool, kept) = (Mutex::default(), Arc::default());
        let shared = Arc::new(Shared { runtime, limits, options, retries, pool, kept });
        let (client, kept) = (Arc::downgrade(&shared), Arc::clone(&shared.kept));
        let task = pool::close_idle(shared.runtime.clone(), client, kept);
        shared.runtime.spawn_in(Class::Network, "http-client", task).detach();
        Self { shared }
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

    /// Keeps the cookies that servers set, over any version, in `cookies`, and sends them back (RFC 6265). Without, nothing is
    /// kept.
    #[must_use]
    pub fn with_cookies(self, cookies: Cookies) -> Self {
        self.change(|options| options.cookies = Some(cookies))
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

    /// Begins connections with a PROXY header, for the addresses among a request's extensions
    /// ([`Addresses`](proxy_protocol::Addresses)): a connection
    /// serves one request then.
    #[must_use]
    pub(crate) fn with_proxy_protocol(self, version: proxy_protocol::Version) -> Self {
        self.change(|options| options.introduced = Some(version))
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
    /// repeated once after a failure on a new connection, and one of any method that the server says it has not processed
    /// ([`ClientError::is_unprocessed`]), while those are few ([`ClientLimits::retry_percent`]). Nothing else is repeated.
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
        let (target, mut request) = self.address(request)?;
        let Some(cookies) = &self.shared.options.cookies else { return self.to(&target, request).await };
        let runtime = &self.shared.runtime;
        cookies.add_to(&target.address, request.headers_mut(), runtime.unix_time());
        let response = self.to(&target, request).await?;
        cookies.learn(&target.address, response.headers(), runtime.unix_time());
        Ok(response)
    }

    async fn to(&self, target: &Target, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let request = match self.over_http3(target, request).await? {
            Ok(response) => return Ok(response),
            Err(request) => *request,
        };
        let response = self.over_tcp(target, request).await?;
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
}

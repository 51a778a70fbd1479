//! The HTTP server: the accept loop here, one connection in [`connection`].
//!
//! | file | what is inside |
//! |---|---|
//! | `connection` | the task of one connection: hyper, the watch and the drain, driven together |
//! | `link` | the stream between them: responses written together, reads watched |
//! | `activity` | what the parts of a connection tell each other |
//! | `watch` | the time limits of a connection on one alarm |
//! | `framing` | tells a header with two meanings (request smuggling) |
//! | `work` | what is the same for the requests of every version: counting, refusing, the server's fields |
//! | `respond` | from hyper's request to the handler's and back |
//! | `port` | one address for all protocols, on every shard |
//! | `http3` | the same over QUIC: HTTP/3 |
//! | `protocol` | which protocol a new connection speaks: TLS or not, HTTP/1.1 or HTTP/2 |
//! | `introduced` | which client a balancer's connection is for: the PROXY protocol |
//! | `http2` | the task of an HTTP/2 connection with all its streams |
//! | `turn` | how long a connection's requests go on before others have their turn |
//! | `date` | the `Date` field |

mod activity;
mod connection;
mod date;
mod framing;
mod http2;
mod http3;
mod introduced;
mod link;
mod port;
mod protocol;
mod respond;
mod taken;
mod turn;
mod watch;
mod work;

pub(crate) use activity::Activity;
pub use port::{OnePort, Port, PortError, Tls};

use super::handler::Handler;
use super::limits::{InvalidLimits, Limits};
use super::metrics::Metrics;
use super::network::Network;
use futures_util::future::{try_join, try_join_all};
use http::HeaderValue;
use shroud_runtime::net::Listener;
use shroud_runtime::sync::Event;
use shroud_runtime::{Class, Runtime, RuntimeExt, TaskError};
use shroud_rustls::rustls::ServerConfig;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

/// How long to wait after the kernel could not give a connection, most often for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Failures to accept, one after the other, that mean the listener is broken.
const MAX_ACCEPT_FAILURES: u32 = 200;

/// Connections over the limit that are being told so at a time; more are closed without a word.
const MAX_REFUSALS: usize = 64;

/// For how long clients may believe that HTTP/3 is there too, in seconds.
const ALTERNATIVE_TIME: u32 = 24 * 60 * 60;

/// Serving ended before it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The listener keeps failing.
    #[error("accepting connections keeps failing")]
    Accept(#[source] io::Error),
    /// The accept loop's own task failed.
    #[error("the http server's task ended early: {0}")]
    Task(#[from] TaskError),
}

/// An HTTP server: a handler with its limits and metrics. Clones share the handler and the metrics; each call of
/// [`Server::serve`] counts its own connections.
pub struct Server<H> {
    handler: Arc<H>,
    limits: Arc<Limits>,
    metrics: Metrics,
    tls: Option<Arc<ServerConfig>>,
    alt_svc: Option<HeaderValue>,
    balancers: Option<Arc<[Network]>>,
}

impl<H> Clone for Server<H> {
    fn clone(&self) -> Self {
        Self {
            handler: Arc::clone(&self.handler),
            limits: Arc::clone(&self.limits),
            metrics: self.metrics.clone(),
            tls: self.tls.clone(),
            alt_svc: self.alt_svc.clone(),
            balancers: self.balancers.clone(),
        }
    }
}

impl<H> std::fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// One call of `serve`: what its connections share.
pub(crate) struct Service<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) alt_svc: Option<HeaderValue>,
    /// Whose connections begin with a PROXY header; `None`: nobody's.
    pub(crate) balancers: Option<Arc<[Network]>>,
    /// Requests in work.
    pub(crate) requests: Arc<AtomicUsize>,
    connections: AtomicUsize,
    refusals: AtomicUsize,
    /// A connection ended.
    ended: Event,
}

impl<H: Handler> Server<H> {
    /// A server that answers with `handler`.
    ///
    /// # Errors
    /// [`InvalidLimits`] when no server could work within `limits`.
    pub fn new(handler: H, limits: Limits) -> Result<Self, InvalidLimits> {
        limits.validate()?;
        Ok(Self {
            handler: Arc::new(handler),
            limits: Arc::new(limits),
            metrics: Metrics::new(),
            tls: None,
            alt_svc: None,
            balancers: None,
        })
    }

    /// Counts into `metrics`, which other servers may share.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Speaks TLS, and nothing in the clear. HTTP/2 is for clients that choose it (ALPN `h2`, which `tls` must offer),
    /// HTTP/1.1 for all others.
    #[must_use]
    pub fn with_tls(self, tls: Arc<ServerConfig>) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Tells clients of HTTP/1.1 and HTTP/2 where else this server is, most often over HTTP/3 (`Alt-Svc`, RFC 7838).
    #[must_use]
    pub fn with_alt_svc(self, value: HeaderValue) -> Self {
        Self { alt_svc: Some(value), ..self }
    }

    /// Takes connections over TCP from balancers at these addresses only, each of which must begin with a header of the PROXY
    /// protocol, version 1 or 2, before TLS: [`ConnectionInfo`](super::ConnectionInfo) then tells of the client that it names. A
    /// connection that is the balancer's own (LOCAL, UNKNOWN) stays its own.
    ///
    /// A connection from elsewhere is closed, and so is one whose header is malformed or takes longer than
    /// [`Limits::header_time`]. HTTP/3 has no such headers: what comes over QUIC is not touched.
    #[must_use]
    pub fn with_proxy_protocol(self, balancers: &[Network]) -> Self {
        Self { balancers: Some(balancers.into()), ..self }
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Serves HTTP/1.1 and HTTP/2 on `listener`, the latter in the clear to clients that know (RFC 9113, 3.3), until the node is asked to stop, then drains: accepts no more, closes idle
    /// connections, lets requests in work finish for [`Limits::drain_time`], and returns.
    ///
    /// Call it once on each shard, with the shard's own runtime and listener. Each connection is a task of class
    /// `network`; handlers run inside it.
    ///
    /// Cancel safety: dropping the future closes the listener and all its connections.
    ///
    /// # Errors
    /// [`ServeError`] when the listener breaks.
    pub async fn serve<R: Runtime>(&self, runtime: &R, listener: R::Listener) -> Result<(), ServeError> {
        self.serve_tcp(runtime, listener, self.service()).await
    }

    /// Serves all protocols on `port`: HTTP/1.1 and HTTP/2 over TCP, and HTTP/3 over QUIC when the port has TLS, which the
    /// other two announce (`Alt-Svc`, RFC 7838, for a day; [`Server::with_alt_svc`] says something else). Otherwise as
    /// [`Server::serve`] and [`Server::serve_http3`]: the limits of connections and requests hold for all protocols of a shard
    /// together, and so does the drain.
    ///
    /// Cancel safety: dropping the future closes the port and all its connections.
    ///
    /// # Errors
    /// [`ServeError`] when one of the protocols fails: the others are dropped.
    pub async fn serve_port<R: Runtime>(&self, runtime: &R, port: Port<R>) -> Result<(), ServeError> {
        let mut server = self.clone();
        if port.has_http3() && server.alt_svc.is_none() {
            let value = format!("h3=\":{}\"; ma={ALTERNATIVE_TIME}", port.local_addr().port());
            server.alt_svc = HeaderValue::try_from(value).ok();
        }
        let Port { listener, endpoints, tls, .. } = port;
        if let Some(tls) = tls {
            server.tls = Some(Arc::clone(tls.tcp()));
        }
        let service = server.service();
        let quic =
            endpoints.into_iter().map(|endpoint| server.serve_quic(runtime, endpoint, Arc::clone(&service)));
        let tcp = server.serve_tcp(runtime, listener, Arc::clone(&service));
        try_join(tcp, try_join_all(quic)).await.map(|_| ())
    }

    fn service(&self) -> Arc<Service<H>> {
        Arc::new(Service {
            handler: Arc::clone(&self.handler),
            limits: Arc::clone(&self.limits),
            tls: self.tls.clone(),
            alt_svc: self.alt_svc.clone(),
            balancers: self.balancers.clone(),
            requests: self.metrics.in_work(),
            connections: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            ended: Event::new(),
        })
    }

    async fn serve_tcp<R: Runtime>(
        &self,
        runtime: &R,
        listener: R::Listener,
        service: Arc<Service<H>>,
    ) -> Result<(), ServeError> {
        let metrics = self.metrics.clone();
        let task = {
            let runtime = runtime.clone();
            // A task of its own, whose children the connections are: they end with it.
            async move { accept_loop(runtime, listener, service, metrics).await }
        };
        runtime.spawn_in(Class::Network, "http-server", task).await?
    }
}

async fn accept_loop<R: Runtime, H: Handler>(
    runtime: R,
    mut listener: R::Listener,
    service: Arc<Service<H>>,
    metrics: Metrics,
) -> Result<(), ServeError> {
    let stopping = runtime.stopping();
    let mut stopped = stopping.cancelled();
    let mut failures = 0_u32;
    loop {
        let next = poll_fn(|cx| match Pin::new(&mut stopped).poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => listener.poll_accept(cx).map(Some),
        });
        match next.await {
            None => break,
            Some(Ok((stream, peer))) => {
                failures = 0;
                admit(&runtime, stream, peer, &service, &metrics);
            }
            Some(Err(error)) => {
                failures += 1;
                if failures > MAX_ACCEPT_FAILURES {
                    return Err(ServeError::Accept(error));
                }
                tracing::warn!(%error, "accepting a connection failed");
                runtime.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if runtime.timeout(service.limits.drain_time, service.idle()).await.is_err() {
        tracing::warn!(connections = service.connections.load(Ordering::Relaxed), "drain time is over");
    }
    Ok(())
}

fn admit<R: Runtime, H: Handler>(
    runtime: &R,
    stream: R::Stream,
    peer: std::net::SocketAddr,
    service: &Arc<Service<H>>,
    metrics: &Metrics,
) {
    let stripe = metrics.stripe();
    if service.connections.load(Ordering::Relaxed) >= service.limits.connections {
        stripe.connection_refused();
        if service.refusals.load(Ordering::Relaxed) < MAX_REFUSALS {
            let counted = Counted::enter(service, |service| &service.refusals);
            let task = connection::refuse(runtime.clone(), stream, peer, counted, stripe);
            runtime.spawn_in(Class::Network, "http-refusal", task).detach();
        }
        return;
    }
    let counted = Counted::enter(service, |service| &service.connections);
    let task = protocol::run(runtime.clone(), stream, peer, counted, stripe);
    runtime.spawn_in(Class::Network, "http-connection", task).detach();
}

impl<H> Service<H> {
    /// Waits until all connections have ended. Cancel safe.
    async fn idle(&self) {
        while self.connections.load(Ordering::SeqCst) > 0 {
            let ended = self.ended.listen();
            if self.connections.load(Ordering::SeqCst) > 0 {
                ended.await;
            }
        }
    }
}

/// A connection that counts while it lives.
pub(crate) struct Counted<H> {
    pub(crate) service: Arc<Service<H>>,
    counter: fn(&Service<H>) -> &AtomicUsize,
}

impl<H> Counted<H> {
    fn enter(service: &Arc<Service<H>>, counter: fn(&Service<H>) -> &AtomicUsize) -> Self {
        counter(service).fetch_add(1, Ordering::SeqCst);
        Self { service: Arc::clone(service), counter }
    }
}

impl<H> Drop for Counted<H> {
    fn drop(&mut self) {
        (self.counter)(&self.service).fetch_sub(1, Ordering::SeqCst);
        self.service.ended.notify(usize::MAX);
    }
}

//! The server: one handler over every transport.
//!
//! | file | what is inside |
//! |---|---|
//! | here | from a message to its answer, whatever carries them; the accept loop |
//! | `udp` | datagrams, in batches |
//! | `fair` | datagrams wait by their senders |
//! | `stream` | one connection over TCP or TLS, with many questions at a time |
//! | `https` | an HTTP handler |
//! | `quic` | one stream for each question |

mod fair;
mod https;
mod quic;
mod stream;
mod udp;

pub use https::Https;
pub(super) use https::is_media_type;
pub use quic::quic_config;

use super::handler::{Handler, QueryInfo, Transport};
use super::limits::Limits;
use super::metrics::Metrics;
use futures_util::FutureExt as _;
use shroud_dns::{MAX_MESSAGE, Received, Request, Response, ResponseCode};
use shroud_runtime::net::Listener;
use shroud_runtime::sync::Event;
use shroud_runtime::{Class, Runtime, RuntimeExt, TaskError};
use shroud_rustls::rustls::ServerConfig;
use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

/// How long to wait after the kernel could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Failures to accept or to receive, one after the other, that mean the socket is broken.
const MAX_FAILURES: u32 = 200;

/// Serving ended before it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The socket keeps failing.
    #[error("the socket of the DNS server keeps failing")]
    Socket(#[source] io::Error),
    /// The server's own task failed.
    #[error("the DNS server's task ended early: {0}")]
    Task(#[from] TaskError),
}

/// A DNS server: a handler with its limits and metrics. Clones share them.
///
/// Call each `serve_*` once on each shard, with the shard's own runtime and socket. All of them end when the node is asked to
/// stop, after questions in work were answered.
pub struct Server<H> {
    shared: Arc<Shared<H>>,
}

struct Shared<H> {
    handler: H,
    limits: Limits,
    metrics: Metrics,
}

impl<H> Clone for Server<H> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<H> std::fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl<H: Handler> Server<H> {
    /// A server that answers with `handler`.
    #[must_use]
    pub fn new(handler: H, limits: Limits) -> Self {
        Self { shared: Arc::new(Shared { handler, limits, metrics: Metrics::default() }) }
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Serves over UDP (RFC 1035, 4.2.1; RFC 6891).
    ///
    /// Cancel safety: dropping the future closes the socket.
    ///
    /// # Errors
    /// [`ServeError`] when the socket breaks.
    pub async fn serve_udp<R: Runtime>(&self, runtime: &R, socket: R::Socket) -> Result<(), ServeError> {
        let task = udp::run(runtime.clone(), socket, Arc::clone(&self.shared));
        runtime.spawn_in(Class::Dns, "dns-udp", task).await?
    }

    /// Serves over TCP (RFC 7766): many questions on a connection, answered as they are ready.
    ///
    /// Cancel safety: dropping the future closes the listener and its connections.
    ///
    /// # Errors
    /// [`ServeError`] when the listener breaks.
    pub async fn serve_tcp<R: Runtime>(&self, runtime: &R, listener: R::Listener) -> Result<(), ServeError> {
        let task = accept_loop(runtime.clone(), listener, None, Arc::clone(&self.shared));
        runtime.spawn_in(Class::Dns, "dns-tcp", task).await?
    }

    /// Serves over TLS (RFC 7858), otherwise as over TCP. `tls` should offer the protocol `dot` (ALPN) or none.
    ///
    /// Cancel safety: dropping the future closes the listener and its connections.
    ///
    /// # Errors
    /// [`ServeError`] when the listener breaks.
    pub async fn serve_tls<R: Runtime>(
        &self,
        runtime: &R,
        listener: R::Listener,
        tls: Arc<ServerConfig>,
    ) -> Result<(), ServeError> {
        let task = accept_loop(runtime.clone(), listener, Some(tls), Arc::clone(&self.shared));
        runtime.spawn_in(Class::Dns, "dns-tls", task).await?
    }

    /// An HTTP handler that answers over HTTPS (RFC 8484), for a route of any HTTP server of this crate; `/dns-query` by
    /// custom.
    #[must_use]
    pub fn https<R: Runtime>(&self, runtime: &R) -> Https<R, H> {
        Https::new(runtime.clone(), Arc::clone(&self.shared))
    }

    /// Serves over QUIC (RFC 9250). The endpoint's configuration comes from [`quic_config`].
    ///
    /// Cancel safety: dropping the future closes the endpoint's connections.
    ///
    /// # Errors
    /// [`ServeError`] when its task fails.
    pub async fn serve_quic<R: Runtime>(
        &self,
        runtime: &R,
        endpoint: shroud_quic::Endpoint<R>,
    ) -> Result<(), ServeError> {
        let task = quic::run(runtime.clone(), endpoint, Arc::clone(&self.shared));
        Ok(runtime.spawn_in(Class::Dns, "dns-quic", task).await?)
    }
}

/// What goes back for a message, if anything.
async fn respond<R: Runtime, H: Handler>(
    runtime: &R,
    shared: &Shared<H>,
    received: Received,
    info: QueryInfo,
) -> Option<Vec<u8>> {
    match received {
        Received::Question(request) => {
            let response = ask(runtime, shared, &request, &info).await;
            Some(encode(shared, &response, &request, info.transport))
        }
        Received::Refused(answer) => {
            shared.metrics.count_refused();
            Some(answer)
        }
        _ => {
            shared.metrics.count_ignored();
            None
        }
    }
}

/// Asks the handler, within its time.
async fn ask<R: Runtime, H: Handler>(
    runtime: &R,
    shared: &Shared<H>,
    request: &Request,
    info: &QueryInfo,
) -> Response {
    shared.metrics.count_question();
    let mut work = pin!(AssertUnwindSafe(shared.handler.answer(request, info)).catch_unwind());
    // Most answers are there at once, and need no timer.
    let outcome = match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        Poll::Ready(outcome) => Ok(outcome),
        Poll::Pending => runtime.timeout(shared.limits.answer_time, work).await,
    };
    match outcome {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(question = %request.question, "the DNS handler panicked");
            shared.metrics.count_failed();
            Response::error(ResponseCode::ServFail)
        }
        Err(_) => {
            shared.metrics.count_failed();
            Response::error(ResponseCode::ServFail)
        }
    }
}

fn encode<H>(shared: &Shared<H>, response: &Response, request: &Request, transport: Transport) -> Vec<u8> {
    if transport != Transport::Udp {
        return response.encode(request, MAX_MESSAGE, transport.is_encrypted());
    }
    let answer = response.encode(request, request.udp_limit(shared.limits.udp_payload), false);
    if answer.get(2).is_some_and(|flags| flags & 0x02 != 0) {
        shared.metrics.count_truncated();
    }
    answer
}

async fn accept_loop<R: Runtime, H: Handler>(
    runtime: R,
    mut listener: R::Listener,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared<H>>,
) -> Result<(), ServeError> {
    let open = Open::default();
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
                admit(&runtime, stream, peer, tls.as_ref(), &shared, &open);
            }
            Some(Err(error)) => {
                failures += 1;
                if failures > MAX_FAILURES {
                    return Err(ServeError::Socket(error));
                }
                tracing::warn!(%error, "accepting a DNS connection failed");
                runtime.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let _ = runtime.timeout(shared.limits.drain_time, open.idle()).await;
    Ok(())
}

fn admit<R: Runtime, H: Handler>(
    runtime: &R,
    stream: R::Stream,
    peer: SocketAddr,
    tls: Option<&Arc<ServerConfig>>,
    shared: &Arc<Shared<H>>,
    open: &Open,
) {
    let Some(place) = open.enter(shared.limits.connections) else {
        shared.metrics.count_connection_refused();
        return;
    };
    shared.metrics.count_connection();
    let (inner, shared) = (runtime.clone(), Arc::clone(shared));
    match tls.map(Arc::clone) {
        None => {
            let info = QueryInfo { peer: Some(peer), transport: Transport::Tcp };
            let task = async move {
                stream::run(&inner, stream, info, &shared).await;
                drop(place);
            };
            runtime.spawn_in(Class::Dns, "dns-connection", task).detach();
        }
        Some(tls) => {
            let task = async move {
                stream::run_tls(&inner, stream, peer, &tls, &shared).await;
                drop(place);
            };
            runtime.spawn_in(Class::Dns, "dns-connection", task).detach();
        }
    }
}

/// Connections that are open.
#[derive(Clone, Default)]
struct Open {
    count: Arc<AtomicUsize>,
    left: Arc<Event>,
}

impl Open {
    fn enter(&self, limit: usize) -> Option<Place> {
        if self.count.load(Ordering::SeqCst) >= limit {
            return None;
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        Some(Place(self.clone()))
    }

    /// Waits until there is none. Cancel safe.
    async fn idle(&self) {
        while self.count.load(Ordering::SeqCst) > 0 {
            let left = self.left.listen();
            if self.count.load(Ordering::SeqCst) > 0 {
                left.await;
            }
        }
    }
}

/// A connection that counts while it lives.
struct Place(Open);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
        self.0.left.notify(usize::MAX);
    }
}

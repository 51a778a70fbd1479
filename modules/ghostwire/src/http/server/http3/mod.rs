//! HTTP/3 (RFC 9114): h3 over the QUIC of the house, with the same handler, limits, metrics and drain.
//!
//! | file | what is inside |
//! |---|---|
//! | here | the accept loop and the drain |
//! | `connection` | the task of a connection, which drives all its requests |
//! | `respond` | from h3's request to the handler's and back |
//! | `body` | a request's body on its way in |

mod body;
mod connection;
mod respond;

use super::super::handler::Handler;
use super::{Counted, ServeError, Server, Service};
use shroud_h3::h3::error::Code;
use shroud_quic::{Endpoint, VarInt};
use shroud_runtime::{Class, Runtime, RuntimeExt};
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

/// How long the peers may take to hear that the server has gone.
const GOODBYE: Duration = Duration::from_secs(1);

impl<H: Handler> Server<H> {
    /// Serves HTTP/3 on `endpoint`, whose TLS must offer the protocol `h3` (ALPN), until the node is asked to stop, then
    /// drains: takes no more connections, tells the open ones which requests it still answers (GOAWAY), lets those finish
    /// for [`Limits::drain_time`](super::super::Limits::drain_time), closes, and returns.
    ///
    /// The limits are those of the other versions, each for one call of this. Requests in early data (0-RTT) are served
    /// while the handshake goes on when their method is safe, and otherwise answered 425 (RFC 8470).
    ///
    /// Cancel safety: dropping the future closes the endpoint's connections.
    ///
    /// # Errors
    /// [`ServeError`] when its task fails.
    pub async fn serve_http3<R: Runtime>(
        &self,
        runtime: &R,
        endpoint: Endpoint<R>,
    ) -> Result<(), ServeError> {
        self.serve_quic(runtime, endpoint, self.service()).await
    }

    pub(super) async fn serve_quic<R: Runtime>(
        &self,
        runtime: &R,
        endpoint: Endpoint<R>,
        service: Arc<Service<H>>,
    ) -> Result<(), ServeError> {
        let (inner, metrics) = (runtime.clone(), self.metrics.clone());
        let task = async move {
            let stopping = inner.stopping();
            let mut stopped = stopping.cancelled();
            let port = endpoint.local_addr().port();
            loop {
                let next = {
                    let mut accept = pin!(endpoint.accept());
                    poll_fn(|cx| match Pin::new(&mut stopped).poll(cx) {
                        Poll::Ready(()) => Poll::Ready(None),
                        Poll::Pending => accept.as_mut().poll(cx),
                    })
                    .await
                };
                let Some(connecting) = next else { break };
                let stripe = metrics.stripe();
                if service.connections.load(Ordering::Relaxed) >= service.limits.connections {
                    // Dropping it closes it.
                    stripe.connection_refused();
                    continue;
                }
                let counted = Counted::enter(&service, |service| &service.connections);
                let task = connection::run(inner.clone(), connecting, port, counted, stripe);
                inner.spawn_in(Class::Network, "http3-connection", task).detach();
            }
            endpoint.stop_accepting();
            if inner.timeout(service.limits.drain_time, service.idle()).await.is_err() {
                tracing::warn!(
                    connections = service.connections.load(Ordering::Relaxed),
                    "drain time of HTTP/3 is over"
                );
            }
            endpoint.close(code(Code::H3_NO_ERROR), b"");
            let _ = inner.timeout(GOODBYE, endpoint.wait_idle()).await;
        };
        runtime.spawn_in(Class::Network, "http3-server", task).await.map_err(ServeError::Task)
    }
}

fn code(code: Code) -> VarInt {
    VarInt::from_u64(code.value()).unwrap_or(VarInt::MAX)
}

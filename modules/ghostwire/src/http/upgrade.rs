//! Connections that leave HTTP for another protocol (RFC 9110, 7.8), and streams that do (RFC 8441).

use super::body::Body;
use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use http::{Method, Request, Response};
use hyper::ext::Protocol;
use shroud_runtime::net::ReadUninit;
use shroud_runtime::{Alarm, CancellationToken, Runtime};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A connection's bytes, whatever carries them.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// What a connection's task reads and writes: a socket, with TLS or without.
pub(crate) trait Stream: ReadUninit + AsyncWrite + Send + Unpin + 'static {}

impl<T: ReadUninit + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// What a connection needs of its runtime, without the runtime's type.
pub(crate) struct Seam {
    pub(crate) now: Box<dyn Fn() -> Instant + Send + Sync>,
    pub(crate) alarm: Box<dyn Alarm>,
    pub(crate) stopping: CancellationToken,
}

impl Seam {
    pub(crate) fn of<R: Runtime>(runtime: &R) -> Self {
        let clock = runtime.clone();
        Self {
            now: Box::new(move || clock.now()),
            alarm: Box::new(runtime.alarm()),
            stopping: runtime.stopping(),
        }
    }
}

/// A connection that has left HTTP.
pub(crate) struct Upgraded {
    pub(crate) io: Box<dyn Transport>,
    /// What arrived together with the request.
    pub(crate) read: Bytes,
    pub(crate) seam: Seam,
}

/// What goes on with the connection. Runs in the connection's task and counts as the connection.
pub(crate) type Takeover = Box<dyn FnOnce(Upgraded) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// In a response's extensions: who takes the connection over once the response is sent.
#[derive(Clone)]
struct Pending(Arc<Mutex<Option<Takeover>>>);

/// Hands the connection to `takeover` after `response`, which must be 101 (or 2xx to a CONNECT request).
pub(crate) fn attach(response: &mut Response<Body>, takeover: Takeover) {
    response.extensions_mut().insert(Pending(Arc::new(Mutex::new(Some(takeover)))));
}

/// Who takes over after `response`.
pub(crate) fn detach(response: &mut Response<Body>) -> Option<Takeover> {
    let Pending(takeover) = response.extensions_mut().remove()?;
    let mut takeover = takeover.lock().unwrap_or_else(PoisonError::into_inner);
    takeover.take()
}

/// Whether this is an extended CONNECT request (RFC 8441, 4): it names a protocol to go on with.
pub(crate) fn is_extended<B>(request: &Request<B>) -> bool {
    request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some()
}

/// Whether it names this one.
pub(crate) fn is_extended_for<B>(request: &Request<B>, protocol: &str) -> bool {
    is_extended(request)
        && request.extensions().get::<Protocol>().is_some_and(|named| named.as_str() == protocol)
}

//! An HTTP/1.1 client over the seam.
//!
//! A connection is driven by whoever waits for its response: there are no background tasks, and dropping a request
//! closes its connection. Connections whose response was read to its end are kept for the next request to the host.

use super::body::{Body, BodyError};
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use shroud_hyper::HyperIo;
use shroud_runtime::{ConnectOptions, Runtime, RuntimeExt};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

/// A client's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// For resolving a host and connecting to it. Default 10 s.
    pub connect_time: Duration,
    /// For a whole exchange, connecting included. Default 30 s.
    pub request_time: Duration,
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
    #[error("not an http:// address with a host: {0}")]
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
    /// It took too long. The server may have received the request.
    #[error("no response within {0:?}")]
    TimedOut(Duration),
    /// The connection failed. The server may have received the request.
    #[error("the connection failed before the response was complete")]
    Connection(#[source] hyper::Error),
    /// The response's body could not be read.
    #[error("reading the response failed: {0}")]
    Body(#[from] BodyError),
}

/// An HTTP/1.1 client with a pool of idle connections for each host. Clones share the pool.
///
/// It belongs to the shard of the runtime it was made with.
pub struct Client<R: Runtime> {
    shared: Arc<Shared<R>>,
}

struct Shared<R: Runtime> {
    runtime: R,
    limits: ClientLimits,
    idle: Mutex<BTreeMap<String, Vec<Open<R>>>>,
}

/// A connection, with no response outstanding.
struct Open<R: Runtime> {
    sender: SendRequest<Body>,
    connection: Pin<Box<Connection<HyperIo<R::Stream>, Body>>>,
    since: Instant,
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
        Self { shared: Arc::new(Shared { runtime, limits, idle: Mutex::new(BTreeMap::new()) }) }
    }

    /// Sends a request to the host of its address, and reads the whole response.
    ///
    /// When an idle connection turns out to be closed, a request that it did not take is sent again over another one,
    /// and so is one without a body whose method is idempotent (RFC 9110, 9.2.2); nothing else is repeated.
    ///
    /// Cancel safety: dropping the future closes the connection; the server may have received the request.
    ///
    /// # Errors
    /// [`ClientError`]. Any status is a response.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Bytes>, ClientError> {
        let limit = self.shared.limits.request_time;
        match self.shared.runtime.timeout(limit, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::TimedOut(limit)),
        }
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Response<Bytes>, ClientError> {
        let (host, port, mut request) = addressed(request)?;
        let key = format!("{host}:{port}");
        while let Some(open) = self.take_idle(&key).await {
            let copy = repeatable(&request);
            request = match self.ask(open, request, &key).await {
                Err(unsent) => *unsent,
                Ok(Err(ClientError::Connection(error))) => copy.ok_or(ClientError::Connection(error))?,
                Ok(response) => return response,
            };
        }
        let open = self.connect(&host, port).await?;
        match self.ask(open, request, &key).await {
            Ok(response) => response,
            Err(_) => {
                let source = io::ErrorKind::ConnectionAborted.into();
                Err(ClientError::Connect { host: key, source })
            }
        }
    }

    /// One exchange on `open`; gives the request back when it was not sent.
    async fn ask(
        &self,
        mut open: Open<R>,
        request: Request<Body>,
        key: &str,
    ) -> Result<Result<Response<Bytes>, ClientError>, Box<Request<Body>>> {
        let answer = open.sender.try_send_request(request);
        let response = match drive(&mut open.connection, answer).await {
            Some(Ok(response)) => response,
            Some(Err(mut error)) => {
                return match error.take_message() {
                    Some(unsent) => Err(Box::new(unsent)),
                    None => Ok(Err(ClientError::Connection(error.into_error()))),
                };
            }
            None => return Ok(Err(BodyError::TimedOut.into())),
        };
        let limit = self.shared.limits.body_bytes;
        let (head, body) = response.into_parts();
        let body = match drive(&mut open.connection, read(body, limit)).await {
            Some(Ok(body)) => body,
            Some(Err(error)) => return Ok(Err(error.into())),
            None => return Ok(Err(BodyError::TimedOut.into())),
        };
        self.keep(key, open);
        Ok(Ok(Response::from_parts(head, body)))
    }

    async fn connect(&self, host: &str, port: u16) -> Result<Open<R>, ClientError> {
        let Shared { runtime, limits, .. } = &*self.shared;
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = match runtime.timeout(limits.connect_time, runtime.lookup(name, port)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(source)) => return Err(ClientError::Lookup { host: host.to_owned(), source }),
            Err(_) => return Err(ClientError::TimedOut(limits.connect_time)),
        };
        let options = ConnectOptions { timeout: Some(limits.connect_time), ..ConnectOptions::default() };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match runtime.connect(address, options).await {
                Ok(stream) => {
                    let (sender, connection) = Builder::new()
                        .max_header_size(limits.header_bytes)
                        .handshake(HyperIo::new(stream))
                        .await
                        .map_err(ClientError::Connection)?;
                    return Ok(Open { sender, connection: Box::pin(connection), since: runtime.now() });
                }
                Err(error) => last = error,
            }
        }
        Err(ClientError::Connect { host: format!("{host}:{port}"), source: last })
    }

    /// An idle connection that still works, as far as can be told.
    async fn take_idle(&self, key: &str) -> Option<Open<R>> {
        loop {
            let mut open = self.idle().get_mut(key)?.pop()?;
            let age = self.shared.runtime.now().saturating_duration_since(open.since);
            if age > self.shared.limits.idle_time {
                continue;
            }
            // Sees a close that came in meanwhile.
            let ended = poll_fn(|cx| Poll::Ready(open.connection.as_mut().poll(cx).is_ready())).await;
            if ended || !open.sender.is_ready() {
                continue;
            }
            return Some(open);
        }
    }

    fn keep(&self, key: &str, mut open: Open<R>) {
        if open.sender.is_closed() {
            return;
        }
        open.since = self.shared.runtime.now();
        let mut idle = self.idle();
        let list = match idle.get_mut(key) {
            Some(list) => list,
            None => idle.entry(key.to_owned()).or_default(),
        };
        if list.len() < self.shared.limits.idle_connections {
            list.push(open);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<Open<R>>>> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

/// Host, port, and the request in origin form with its `Host`.
fn addressed(mut request: Request<Body>) -> Result<(String, u16, Request<Body>), ClientError> {
    let uri = std::mem::take(request.uri_mut());
    let http = uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP);
    let Some(authority) = uri.authority().filter(|authority| http && !authority.host().is_empty()) else {
        return Err(ClientError::Address(uri));
    };
    let (host, port) = (authority.host().to_owned(), authority.port_u16().unwrap_or(80));
    let named = match authority.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.clone(),
    };
    let Ok(named) = HeaderValue::try_from(named) else { return Err(ClientError::Address(uri)) };
    request.headers_mut().insert(HOST, named);
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok((host, port, request))
}

async fn read(body: hyper::body::Incoming, limit: u64) -> Result<Bytes, BodyError> {
    Body::stream(Incoming(body)).bytes(limit).await
}

/// A response's body with this crate's error.
struct Incoming(hyper::body::Incoming);

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_err(BodyError::Broken)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

/// Runs `work` together with the connection it depends on; `None` when the connection ended and left it waiting.
async fn drive<C: Future, F: Future>(connection: &mut Pin<Box<C>>, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut ended = false;
    poll_fn(|cx| {
        for _ in 0..2 {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                // Lets the connection see that the response was taken, so that it becomes ready again.
                if !ended {
                    let _ = connection.as_mut().poll(cx);
                }
                return Poll::Ready(Some(output));
            }
            if ended {
                return Poll::Ready(None);
            }
            ended = connection.as_mut().poll(cx).is_ready();
        }
        if ended { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

//! The HTTP/3 client: one QUIC connection to each server, used by all its requests.

use super::body::{Body, BodyError};
use super::client::ClientLimits;
use bytes::{Buf, Bytes};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::uri::Scheme;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use shroud_h3::h3::client::{RequestStream, SendRequest};
use shroud_h3::h3::error::{Code, ConnectionError as Http3ConnectionError, StreamError};
use shroud_h3::h3::quic::ConnectionErrorIncoming;
use shroud_h3::{BidiStream, OpenStreams, RecvStream, SendStream, h3};
use shroud_quic::{ClientConfig, ConnectError, Connection, ConnectionError, EarlyData, Endpoint};
use shroud_runtime::flow::RetryBudget;
use shroud_runtime::sync::{Mutex as AsyncMutex, channel};
use shroud_runtime::{Class, Runtime, RuntimeExt};
use std::collections::BTreeMap;
use std::future::{Future as _, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Http3Error {
    /// Not an `https` address with a host.
    #[error("not an https address with a host: {0}")]
    Address(http::Uri),
    /// The host has no address.
    #[error("looking {0} up failed")]
    Lookup(String, #[source] io::Error),
    /// The connection could not be tried.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No connection could be made.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The connection was lost. The server may have received the request.
    #[error("the http/3 connection was lost: {0}")]
    Lost(#[source] ConnectionError),
    /// HTTP/3 failed on the connection.
    #[error("the http/3 connection failed: {0}")]
    Http(#[source] Http3ConnectionError),
    /// The request failed.
    #[error("the http/3 request failed: {0}")]
    Request(#[source] StreamError),
    /// No connection in its time.
    #[error("connecting took longer than {0:?}")]
    ConnectTimeout(std::time::Duration),
    /// No response in its time.
    #[error("the response took longer than {0:?}")]
    ResponseTimeout(std::time::Duration),
    /// The client's own task has ended.
    #[error("the client's task has ended")]
    Ended,
}

impl Http3Error {
    /// Whether it is known that the server has not processed the request, so that even one that is not idempotent may be sent
    /// again: nothing was sent, or the server has said so by H3_REQUEST_REJECTED (RFC 9114, 4.1.1).
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        match self {
            Self::Request(error) => matches!(
                error,
                StreamError::RemoteTerminate { code: Code::H3_REQUEST_REJECTED, .. }
                    | StreamError::RemoteClosing { .. }
            ),
            Self::Address(_)
            | Self::Lookup(..)
            | Self::Connect(_)
            | Self::Connection(_)
            | Self::ConnectTimeout(_) => true,
            Self::Lost(_) | Self::Http(_) | Self::ResponseTimeout(_) | Self::Ended => false,
        }
    }
}

impl From<Http3ConnectionError> for Http3Error {
    /// What QUIC says of a connection's end says more than what h3 makes of it.
    fn from(error: Http3ConnectionError) -> Self {
        if let Http3ConnectionError::Remote { 0: ConnectionErrorIncoming::Undefined(inner), .. } = &error
            && let Some(error) = inner.downcast_ref::<ConnectionError>()
        {
            return Self::Lost(error.clone());
        }
        Self::Http(error)
    }
}

impl From<StreamError> for Http3Error {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::ConnectionError { 0: error, .. } => error.into(),
            error => Self::Request(error),
        }
    }
}

type Sender = SendRequest<OpenStreams, Bytes>;
type Driver = h3::client::Connection<shroud_h3::Connection, Bytes>;

/// An HTTP/3 client over a QUIC endpoint. Clones are the same client.
///
/// Its task, a child of the task that made it, drives the connections. Of [`ClientLimits`] hold the times, the header's size
/// and the number and age of connections that are kept; bodies stream. No server may push: one that does has its connection
/// closed with H3_ID_ERROR (RFC 9114, 4.6).
pub struct Http3Client<R: Runtime> {
    shared: Arc<Shared<R>>,
    /// Hosts whose address is given.
    known: BTreeMap<String, IpAddr>,
    /// Who is asked, whatever a request's address says.
    only: Option<Server>,
}

struct Shared<R: Runtime> {
    runtime: R,
    endpoint: Endpoint<R>,
    config: ClientConfig,
    limits: ClientLimits,
    drivers: channel::Sender<Driver>,
    places: Mutex<BTreeMap<Server, Place>>,
    retries: RetryBudget,
}

/// A server: the name that its certificate must be for, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Server {
    name: String,
    host: String,
    port: u16,
}

/// A request that got no response, given back when nothing of it was sent.
pub(super) struct Unanswered {
    pub(super) error: Http3Error,
    pub(super) unsent: Option<Box<Request<Body>>>,
}

impl From<Http3Error> for Unanswered {
    fn from(error: Http3Error) -> Self {
        Self { error, unsent: None }
    }
}

struct Place {
    opened: Arc<AsyncMutex<Option<Opened>>>,
    used: Instant,
}

/// A connection that takes requests.
#[derive(Clone)]
struct Opened {
    sender: Sender,
    connection: Connection,
    /// Of a connection that was used before its handshake ended.
    early: Option<Arc<EarlyData>>,
}

impl<R: Runtime> Clone for Http3Client<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), known: self.known.clone(), only: self.only.clone() }
    }
}

impl<R: Runtime> std::fmt::Debug for Http3Client<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http3Client").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl<R: Runtime> Http3Client<R> {
    /// A client whose TLS, in `config`, offers the protocol `h3` (ALPN).
    #[must_use]
    pub fn new(runtime: R, endpoint: Endpoint<R>, config: ClientConfig, limits: ClientLimits) -> Self {
        let (drivers, arriving) = channel::unbounded();
        runtime.spawn_in(Class::Network, "http3-client", drive(arriving)).detach();
        let (places, retries) =
            (Mutex::default(), RetryBudget::new(limits.retry_percent, limits.retry_reserve));
        let shared = Arc::new(Shared { runtime, endpoint, config, limits, drivers, places, retries });
        Self { shared, known: BTreeMap::new(), only: None }
    }

    /// The same client, which finds `host` at `address` whatever the resolver says.
    #[must_use]
    pub fn resolving(&self, host: &str, address: IpAddr) -> Self {
        let mut known = self.known.clone();
        known.insert(host.to_owned(), address);
        Self { known, ..self.clone() }
    }

    /// Asks this server whatever the address of a request, which only tells it what is asked for (`:authority`, path). Its
    /// certificate must be for `name`.
    #[must_use]
    pub(crate) fn with_server(self, host: &str, port: u16, name: &str) -> Self {
        Self { only: Some(Server { name: name.to_owned(), host: host.to_owned(), port }), ..self }
    }

    /// Sends a request and waits for the head of its response, whose body then streams. A body of the request is sent by a task of its
    /// own, a child of the caller's.
    ///
    /// A safe request without a body may go in early data (0-RTT) when the server took some before; when it does not take it
    /// now, the request is sent again. So is one without a body that the server has rejected without processing it
    /// (H3_REQUEST_REJECTED), once, while those are few ([`ClientLimits::retry_percent`]). A server that has said goodbye (GOAWAY)
    /// is asked on a new connection.
    ///
    /// Cancel safety: dropping the future cancels the request.
    ///
    /// # Errors
    /// [`Http3Error`].
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Http3Error> {
        self.send_to(request, None).await.map_err(|unanswered| unanswered.error)
    }

    /// As [`Http3Client::send`], to another host (unless it is empty) and port than the address says; the certificate must still
    /// be for the address's host.
    pub(super) async fn send_to(
        &self,
        request: Request<Body>,
        elsewhere: Option<(String, u16)>,
    ) -> Result<Response<Body>, Unanswered> {
        let uri = request.uri();
        let (Some(host), true) = (uri.host(), uri.scheme() == Some(&Scheme::HTTPS)) else {
            return Err(Http3Error::Address(uri.clone()).into());
        };
        let bare = |host: &str| host.trim_matches(['[', ']']).to_owned();
        let name = bare(host);
        let server = match (&self.only, elsewhere) {
            (Some(only), _) => only.clone(),
            (None, Some((host, port))) if !host.is_empty() => Server { name, host: bare(&host), port },
            (None, Some((_, port))) => Server { host: name.clone(), name, port },
            (None, None) => Server { host: name.clone(), name, port: uri.port_u16().unwrap_or(443) },
        };
        let bodiless = request.body().is_end_stream();
        let early = bodiless && request.method().is_safe();
        let opened = match self.open(&server, early).await {
            Ok(opened) => opened,
            Err(error) => return Err(Unanswered { error, unsent: Some(Box::new(request)) }),
        };
        let (mut parts, body) = request.into_parts();
        if let Some(length @ 1..) = body.size_hint().exact() {
            // RFC 9110, 8.6.
            parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        let head = Request::from_parts(parts, ());
        if let (true, Some(data)) = (bodiless, opened.early.clone()) {
            match self.exchange(&server, opened, head.clone(), Body::empty()).await {
                Err(Http3Error::Request(_) | Http3Error::Http(_) | Http3Error::Lost(_))
                    if !data.accepted().await => {}
                outcome => return Ok(outcome?),
            }
            self.forget(&server);
            let opened = self.open(&server, false).await?;
            return Ok(self.exchange(&server, opened, head, body).await?);
        }
        if let Some(data) = &opened.early
            && !data.accepted().await
        {
            self.forget(&server);
            let opened = self.open(&server, false).await?;
            return Ok(self.exchange(&server, opened, head, body).await?);
        }
        Ok(self.exchange(&server, opened, head, body).await?)
    }

    /// Lets go of all connections.
    pub fn clear(&self) {
        let places = std::mem::take(&mut *self.places());
        drop(places);
    }

    async fn exchange(
        &self,
        server: &Server,
        opened: Opened,
        head: Request<()>,
        body: Body,
    ) -> Result<Response<Body>, Http3Error> {
        let Shared { runtime, limits, retries, .. } = &*self.shared;
        retries.deposit();
        let answer = async {
            if !body.is_end_stream() {
                let (opened, stream) = self.begin(server, opened, &head).await?;
                return self.answer(opened, stream, body).await;
            }
            let (mut opened, mut stream) = self.begin(server, opened, &head).await?;
            let mut repeated = false;
            loop {
                match self.answer(opened.clone(), stream, Body::empty()).await {
                    Err(error) if error.is_unprocessed() && !repeated && retries.withdraw() => {}
                    outcome => return outcome,
                }
                repeated = true;
                (opened, stream) = self.begin(server, opened, &head).await?;
            }
        };
        let outcome = runtime.timeout(limits.request_time, answer).await;
        outcome.map_err(|_| Http3Error::ResponseTimeout(limits.request_time))?
    }

    /// A stream for a request, and the connection that it is on: another one when the server takes no more on this one.
    async fn begin(
        &self,
        server: &Server,
        opened: Opened,
        head: &Request<()>,
    ) -> Result<(Opened, Stream), Http3Error> {
        match opened.sender.clone().send_request(head.clone()).await {
            Err(StreamError::RemoteClosing { .. }) => {}
            stream => return Ok((opened, stream?)),
        }
        {
            let place = self.place(server);
            let mut there = place.lock().await;
            if there.as_ref().is_some_and(|there| there.connection.is_same(&opened.connection)) {
                *there = None;
            }
        }
        let opened = self.open(server, false).await?;
        let stream = opened.sender.clone().send_request(head.clone()).await?;
        Ok((opened, stream))
    }

    async fn answer(&self, opened: Opened, stream: Stream, body: Body) -> Result<Response<Body>, Http3Error> {
        let (mut send, mut receive) = split(stream);
        if body.is_end_stream() {
            match send.finish().await {
                // RFC 9114, 4.1: the server needs no more of the request than it has; its response stands.
                Err(StreamError::RemoteTerminate { code: Code::H3_NO_ERROR, .. }) => {}
                finished => finished?,
            }
        } else {
            self.shared.runtime.spawn("http3-upload", upload(send, body)).detach();
        }
        loop {
            let response = receive.recv_response().await?;
            if !response.status().is_informational() {
                return Ok(response.map(|()| {
                    Body::stream(Received { stream: receive, data: true, ended: false, _opened: opened })
                }));
            }
        }
    }

    async fn open(&self, server: &Server, early: bool) -> Result<Opened, Http3Error> {
        let Shared { runtime, limits, .. } = &*self.shared;
        let place = self.place(server);
        let mut opened = place.lock().await;
        if let Some(there) = opened.as_ref().filter(|there| there.connection.close_reason().is_none()) {
            return Ok(there.clone());
        }
        *opened = None;
        let fresh = runtime.timeout(limits.connect_time, self.connect(server, early)).await;
        let fresh = fresh.map_err(|_| Http3Error::ConnectTimeout(limits.connect_time))??;
        *opened = Some(fresh.clone());
        Ok(fresh)
    }

    async fn connect(&self, server: &Server, early: bool) -> Result<Opened, Http3Error> {
        let Server { name, host, port } = server;
        let Shared { runtime, endpoint, config, limits, drivers, .. } = &*self.shared;
        let found = match self.known.get(host) {
            Some(address) => vec![SocketAddr::new(*address, *port)],
            None => {
                let found = runtime.lookup(host, *port).await;
                found.map_err(|error| Http3Error::Lookup(host.clone(), error))?
            }
        };
        let v4 = endpoint.local_addr().is_ipv4();
        let address = found.iter().find(|address| address.is_ipv4() == v4).or(found.first()).copied();
        let address = address.ok_or_else(|| {
            Http3Error::Lookup(host.clone(), io::Error::from(io::ErrorKind::AddrNotAvailable))
        })?;
        let connecting = endpoint.connect(config, address, name)?;
        let (connection, data) = match if early { connecting.into_0rtt() } else { Err(connecting) } {
            Ok((connection, data)) => (connection, Some(Arc::new(data))),
            Err(connecting) => (connecting.await?, None),
        };
        let header_bytes = u64::try_from(limits.header_bytes).unwrap_or(u64::MAX);
        let frame_limit = header_bytes.saturating_mul(2).saturating_add(1024);
        let binding = shroud_h3::Connection::new(connection.clone(), frame_limit);
        let mut builder = h3::client::builder();
        builder.max_field_section_size(header_bytes).send_grease(false);
        let (driver, sender) = builder.build(binding).await?;
        drivers.send(driver).await.map_err(|_| Http3Error::Ended)?;
        Ok(Opened { sender, connection, early: data })
    }

    fn forget(&self, server: &Server) {
        let gone = self.places().remove(server);
        drop(gone);
    }

    fn place(&self, server: &Server) -> Arc<AsyncMutex<Option<Opened>>> {
        let limits = &self.shared.limits;
        let now = self.shared.runtime.now();
        let mut places = self.places();
        let mut gone = Vec::new();
        let old: Vec<Server> = places
            .iter()
            .filter(|(other, place)| {
                *other != server && now.saturating_duration_since(place.used) > limits.idle_time
            })
            .map(|(other, _)| other.clone())
            .collect();
        gone.extend(old.iter().filter_map(|old| places.remove(old)));
        while !places.contains_key(server) && places.len() >= limits.idle_connections.max(1) {
            let oldest = places.iter().min_by_key(|(_, place)| place.used).map(|(other, _)| other.clone());
            gone.extend(oldest.and_then(|oldest| places.remove(&oldest)));
        }
        let place =
            places.entry(server.clone()).or_insert_with(|| Place { opened: Arc::default(), used: now });
        place.used = now;
        let opened = Arc::clone(&place.opened);
        drop(places);
        // Outside of the lock: what is dropped may close connections.
        drop(gone);
        opened
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<Server, Place>> {
        self.shared.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Stream = RequestStream<BidiStream<Bytes>, Bytes>;
type Send = RequestStream<SendStream<Bytes>, Bytes>;
type Receive = RequestStream<RecvStream, Bytes>;

fn split(stream: Stream) -> (Send, Receive) {
    stream.split()
}

/// Drives all connections until the client and its requests are gone.
async fn drive(arriving: channel::Receiver<Driver>) {
    let mut drivers = FuturesUnordered::new();
    let mut open = true;
    while open || !drivers.is_empty() {
        let next = {
            let mut arrival = pin!(arriving.recv());
            poll_fn(|cx| {
                while let Poll::Ready(Some(())) = drivers.poll_next_unpin(cx) {}
                match arrival.as_mut().poll(cx) {
                    Poll::Ready(arrived) if open => Poll::Ready(arrived.ok()),
                    _ if !open && drivers.is_empty() => Poll::Ready(None),
                    _ => Poll::Pending,
                }
            })
            .await
        };
        match next {
            Some(mut driver) => drivers.push(async move {
                let error = driver.wait_idle().await;
                tracing::debug!(%error, "http/3 connection ended");
            }),
            None => open = false,
        }
    }
}

async fn upload(mut send: Send, mut body: Body) {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let result = match frame {
            None => break,
            Some(Err(_)) => return send.stop_stream(Code::H3_REQUEST_CANCELLED),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => send.send_data(data).await,
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => send.send_trailers(trailers).await,
                    Err(_) => Ok(()),
                },
            },
        };
        if result.is_err() {
            return;
        }
    }
    let _ = send.finish().await;
}

/// A response's body on its way in.
struct Received {
    stream: Receive,
    data: bool,
    ended: bool,
    /// The connection stays while its bodies are read.
    _opened: Opened,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let broken = |error| Poll::Ready(Some(Err(BodyError::BrokenOff(Box::new(Http3Error::from(error))))));
        if self.ended {
            return Poll::Ready(None);
        }
        if self.data {
            match ready!(self.stream.poll_recv_data(cx)) {
                Ok(Some(mut piece)) => {
                    return Poll::Ready(Some(Ok(Frame::data(piece.copy_to_bytes(piece.remaining())))));
                }
                Ok(None) => {}
                Err(error) => {
                    self.ended = true;
                    return broken(error);
                }
            }
            self.data = false;
        }
        let trailers = ready!(self.stream.poll_recv_trailers(cx));
        self.ended = true;
        match trailers {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => broken(error),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

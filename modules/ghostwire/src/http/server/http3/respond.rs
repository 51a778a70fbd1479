//! From h3's request to the handler's, and back.

use super::super::super::body::Body;
use super::super::super::handler::Handler;
use super::super::super::info::ConnectionInfo;
use super::super::super::limits::Limits;
use super::super::super::metrics::Stripe;
use super::super::super::response::{refusal, status};
use super::super::Service;
use super::super::date::DateCache;
use super::super::work::{self, InWork, Shared};
use super::body::Received;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use shroud_h3::h3::error::{Code, StreamError};
use shroud_h3::h3::server::{RequestResolver, RequestStream};
use shroud_h3::{BidiStream, SendStream};
use shroud_quic::Connection;
use shroud_runtime::{Elapsed, Runtime, RuntimeExt};
use shroud_rustls::Handshake;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::Duration;

/// What the requests of one connection share.
pub(super) struct Context<R, H> {
    runtime: R,
    connection: Connection,
    /// Of the server's socket.
    port: u16,
    service: Arc<Service<H>>,
    stripe: Arc<Stripe>,
    date: Mutex<DateCache>,
    info: OnceLock<Arc<ConnectionInfo>>,
}

impl<R, H> Context<R, H> {
    pub(super) fn new(
        runtime: R,
        connection: Connection,
        port: u16,
        service: Arc<Service<H>>,
        stripe: Arc<Stripe>,
    ) -> Self {
        Self { runtime, connection, port, service, stripe, date: Mutex::default(), info: OnceLock::new() }
    }

    /// What handlers may know about the connection; before the handshake has ended, without the client's certificate.
    fn info(&self, early: bool) -> Arc<ConnectionInfo> {
        let read = || {
            let (connection, peer) = (&self.connection, self.connection.remote_address());
            let certificates = connection.peer_certificates().unwrap_or_default();
            let handshake = Handshake::of_quic(connection.server_name(), connection.protocol(), certificates);
            let local = connection.local_ip().map(|ip| SocketAddr::new(ip, self.port));
            Arc::new(ConnectionInfo::new(peer, Some(Arc::new(handshake))).to(local))
        };
        if early { read() } else { Arc::clone(self.info.get_or_init(read)) }
    }
}

impl<R: Runtime, H> Shared for Context<R, H> {
    type Runtime = R;
    type Handler = H;

    fn runtime(&self) -> &R {
        &self.runtime
    }

    fn service(&self) -> &Service<H> {
        &self.service
    }

    fn stripe(&self) -> &Stripe {
        &self.stripe
    }

    fn dates(&self) -> &Mutex<DateCache> {
        &self.date
    }

    fn tells_alternatives(&self) -> bool {
        false
    }
}

/// Why a response ended early.
enum Failed {
    /// The client takes it no more, or the connection is gone.
    Stream(StreamError),
    /// The client took nothing for too long.
    Overdue,
}

impl From<StreamError> for Failed {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<Elapsed> for Failed {
    fn from(_: Elapsed) -> Self {
        Self::Overdue
    }
}

/// Answers one request.
pub(super) async fn respond<R: Runtime, H: Handler>(
    context: Arc<Context<R, H>>,
    resolver: RequestResolver<shroud_h3::Connection, Bytes>,
    early: bool,
) {
    let Context { runtime, service, stripe, .. } = &*context;
    let limits = &service.limits;
    // Dropping what is overdue resets it.
    let resolved = match within(runtime, limits.header_time, resolver.resolve_request()).await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => return tracing::debug!(%error, "an http/3 request failed"),
        Err(Elapsed) => return stripe.timed_out(),
    };
    let mut in_work = InWork::enter(Arc::clone(&context));
    let begun = runtime.now();
    let (mut request, stream) = resolved;
    let (mut send, receive) = split(stream);
    let answers_head = request.method() == Method::HEAD;
    let mut response = match refuse(&mut request, limits, in_work.over_limit, early) {
        Some(response) => response,
        None => {
            if request.headers().contains_key(EXPECT) && proceed(&mut send).await.is_err() {
                return;
            }
            let deadline = begun + limits.body_time;
            let (stripe, limit) = (Arc::clone(stripe), limits.body_bytes);
            let announced = content_length(request.headers()).ok().flatten();
            let body = Received::new(receive, runtime.clone(), stripe, limit, announced, deadline);
            let mut request = request.map(|()| Body::stream(body));
            request.extensions_mut().insert(context.info(early));
            service.handler.handle(request).await
        }
    };
    finish_head(&mut response, answers_head);
    in_work.answer(&mut response, begun);
    match context.write(&mut send, response, answers_head).await {
        Ok(()) => {}
        Err(Failed::Stream(error)) => tracing::debug!(%error, "an http/3 response was broken off"),
        Err(Failed::Overdue) => {
            // As for the other versions: the connection, not the stream alone.
            stripe.timed_out();
            context.connection.close(super::code(Code::H3_EXCESSIVE_LOAD), b"nothing was taken for too long");
        }
    }
}

type Send = RequestStream<SendStream<Bytes>, Bytes>;

fn split(
    stream: RequestStream<BidiStream<Bytes>, Bytes>,
) -> (Send, RequestStream<shroud_h3::RecvStream, Bytes>) {
    stream.split()
}

/// RFC 9110, 10.1.1.
async fn proceed(send: &mut Send) -> Result<(), StreamError> {
    let mut go_on = Response::new(());
    *go_on.status_mut() = StatusCode::CONTINUE;
    send.send_response(go_on).await
}

/// No fields of a connection (RFC 9114, 4.2), but a length.
fn finish_head(response: &mut Response<Body>, answers_head: bool) {
    let length = response.body().size_hint().exact();
    let code = response.status();
    let headers = response.headers_mut();
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE] {
        headers.remove(name);
    }
    let bodiless = code == StatusCode::NO_CONTENT || code == StatusCode::NOT_MODIFIED;
    if let Some(length) = length.filter(|length| !(bodiless || answers_head && *length == 0)) {
        headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

impl<R: Runtime, H> Context<R, H> {
    async fn write(
        &self,
        send: &mut Send,
        response: Response<Body>,
        answers_head: bool,
    ) -> Result<(), Failed> {
        let limit = self.service.limits.write_time;
        let (parts, mut body) = response.into_parts();
        within(&self.runtime, limit, send.send_response(Response::from_parts(parts, ()))).await??;
        if answers_head {
            body = Body::empty();
        }
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let Some(frame) = frame else { break };
            let Ok(frame) = frame else {
                // A torn body must not look whole.
                send.stop_stream(Code::H3_INTERNAL_ERROR);
                return Ok(());
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.stripe.sent(data.len());
                    within(&self.runtime, limit, send.send_data(data)).await??;
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        within(&self.runtime, limit, send.send_trailers(trailers)).await??;
                    }
                    break;
                }
            }
        }
        within(&self.runtime, limit, send.finish()).await??;
        Ok(())
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// A time limit whose timer is made only when there is something to wait for.
async fn within<R: Runtime, F: Future>(runtime: &R, limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let mut work = pin!(work);
    let mut overdue = None;
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let overdue = overdue.get_or_insert_with(|| runtime.sleep(limit));
        Pin::new(overdue).poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// What the handler need not see.
fn refuse(
    request: &mut Request<()>,
    limits: &Limits,
    over_limit: bool,
    early: bool,
) -> Option<Response<Body>> {
    if early && !request.method().is_safe() {
        // RFC 8470, 5.2: it could be a replay.
        return Some(status(StatusCode::TOO_EARLY));
    }
    if request.headers().len() > limits.headers {
        return Some(status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    if has_connection_fields(request.headers()) {
        return Some(refusal(StatusCode::BAD_REQUEST, "fields of a connection have no place in HTTP/3"));
    }
    match content_length(request.headers()) {
        Err(()) => Some(refusal(StatusCode::BAD_REQUEST, "a content-length must be one number")),
        Ok(length) => work::refuse(request, length.unwrap_or(0), limits, over_limit),
    }
}

/// RFC 9114, 4.2: such a request is malformed.
fn has_connection_fields(headers: &HeaderMap) -> bool {
    let fields = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE];
    fields.iter().any(|name| headers.contains_key(name))
        || headers.get_all(TE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers"))
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(()),
        (Some(length), None) => {
            let digits = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|text| text.parse().ok()).map(Some).ok_or(())
        }
    }
}

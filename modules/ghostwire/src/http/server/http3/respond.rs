//! From h3's request to the handler's, and back.

use super::super::super::body::Body;
use super::super::super::handler::Handler;
use super::super::super::info::ConnectionInfo;
use super::super::super::limits::Limits;
use super::super::super::metrics::Stripe;
use super::super::super::response::{refusal, status};
use super::super::Service;
use super::super::date::DateCache;
use super::body::Received;
use bytes::Bytes;
use http::header::{
    ALT_SVC, CONNECTION, CONTENT_LENGTH, DATE, EXPECT, HOST, HeaderName, HeaderValue, RETRY_AFTER, TE,
    TRANSFER_ENCODING, UPGRADE,
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
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

/// What the requests of one connection share.
pub(super) struct Context<R, H> {
    runtime: R,
    connection: Connection,
    service: Arc<Service<H>>,
    stripe: Arc<Stripe>,
    date: Mutex<DateCache>,
    info: OnceLock<Arc<ConnectionInfo>>,
}

impl<R, H> Context<R, H> {
    pub(super) fn new(
        runtime: R,
        connection: Connection,
        service: Arc<Service<H>>,
        stripe: Arc<Stripe>,
    ) -> Self {
        Self { runtime, connection, service, stripe, date: Mutex::default(), info: OnceLock::new() }
    }

    /// What handlers may know about the connection; before the handshake has ended, without the client's certificate.
    fn info(&self, early: bool) -> Arc<ConnectionInfo> {
        let read = || {
            let (connection, peer) = (&self.connection, self.connection.remote_address());
            let certificates = connection.peer_certificates().unwrap_or_default();
            let handshake = Handshake::of_quic(connection.server_name(), connection.protocol(), certificates);
            Arc::new(ConnectionInfo::new(peer, Some(Arc::new(handshake))))
        };
        if early { read() } else { Arc::clone(self.info.get_or_init(read)) }
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
    let mut in_work = InWork::enter(&context);
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
    context.finish_head(&mut response, answers_head);
    let took = runtime.now().saturating_duration_since(begun);
    stripe.request_answered(response.status(), took);
    in_work.answered = true;
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

impl<R: Runtime, H> Context<R, H> {
    /// The fields that a server adds, and not those of a connection (RFC 9114, 4.2).
    fn finish_head(&self, response: &mut Response<Body>, answers_head: bool) {
        let now = self.runtime.now();
        let mut cache = self.date.lock().unwrap_or_else(PoisonError::into_inner);
        let date = cache.at(now, || self.runtime.unix_time());
        drop(cache);
        let length = response.body().size_hint().exact();
        let code = response.status();
        let headers = response.headers_mut();
        for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE] {
            headers.remove(name);
        }
        if let Some(date) = date {
            headers.entry(DATE).or_insert(date);
        }
        if let Some(elsewhere) = &self.service.alt_svc {
            headers.entry(ALT_SVC).or_insert_with(|| elsewhere.clone());
        }
        let bodiless = code == StatusCode::NO_CONTENT || code == StatusCode::NOT_MODIFIED;
        if let Some(length) = length.filter(|length| !(bodiless || answers_head && *length == 0)) {
            headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
    }

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

/// What the handler need not see. Gives the request a `Host`, where all handlers look for it.
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
    if !names_one_host(request) {
        return Some(refusal(StatusCode::BAD_REQUEST, "a request must name one host"));
    }
    match content_length(request.headers()) {
        Err(()) => return Some(refusal(StatusCode::BAD_REQUEST, "a content-length must be one number")),
        Ok(Some(length)) if length > limits.body_bytes => {
            let reason = format!("body longer than {} bytes", limits.body_bytes);
            return Some(refusal(StatusCode::PAYLOAD_TOO_LARGE, reason));
        }
        Ok(_) => {}
    }
    if over_limit {
        let mut response = status(StatusCode::SERVICE_UNAVAILABLE);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return Some(response);
    }
    None
}

/// RFC 9114, 4.2: such a request is malformed.
fn has_connection_fields(headers: &HeaderMap) -> bool {
    let fields = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE];
    fields.iter().any(|name| headers.contains_key(name))
        || headers.get_all(TE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers"))
}

/// RFC 9114, 4.3.1: the authority, or a host field in its place; both must agree.
fn names_one_host(request: &mut Request<()>) -> bool {
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    match (authority, host) {
        (_, Some(_)) if second.is_some() => false,
        (Some(authority), Some(host)) => authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()),
        (Some(authority), None) => match HeaderValue::from_str(&authority) {
            Ok(host) => {
                request.headers_mut().insert(HOST, host);
                true
            }
            Err(_) => false,
        },
        (None, host) => host.is_some(),
    }
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

/// A request that counts while it is in work, from its header to the end of its response.
struct InWork<'a, R, H> {
    context: &'a Context<R, H>,
    over_limit: bool,
    answered: bool,
}

impl<'a, R, H> InWork<'a, R, H> {
    fn enter(context: &'a Context<R, H>) -> Self {
        let before = context.service.requests.fetch_add(1, Ordering::Relaxed);
        Self { context, over_limit: before >= context.service.limits.requests, answered: false }
    }
}

impl<R, H> Drop for InWork<'_, R, H> {
    fn drop(&mut self) {
        self.context.service.requests.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            self.context.stripe.request_abandoned();
        }
    }
}

//! From hyper's request to the handler's, and back to hyper's response.

use super::super::super::body::{Body, BodyError};
use super::super::super::handler::Handler;
use super::super::super::info::ConnectionInfo;
use super::super::super::metrics::Stripe;
use super::super::super::response::{refusal, status};
use super::super::Service;
use super::super::date::DateCache;
use super::streams::Signals;
use bytes::Bytes;
use http::header::{ALT_SVC, CONTENT_LENGTH, DATE, HOST, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Timer;
use shroud_hyper::HyperTimer;
use shroud_runtime::Runtime;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};

/// A response is handed over in pieces of at most this many bytes, so that what waits for a client that takes nothing
/// waits here, where it can be ended.
const PIECE: usize = 16 * 1024;

/// What the requests of one connection share.
pub(super) struct Shared<R, H> {
    runtime: R,
    service: Arc<Service<H>>,
    info: Arc<ConnectionInfo>,
    stripe: Arc<Stripe>,
    pub(super) signals: Arc<Signals>,
    date: Mutex<DateCache>,
    /// Requests that the client may still break off; finished ones give one back.
    resets_left: AtomicU32,
}

impl<R, H> Shared<R, H> {
    pub(super) fn new(
        runtime: R,
        service: Arc<Service<H>>,
        info: Arc<ConnectionInfo>,
        stripe: Arc<Stripe>,
    ) -> Self {
        let resets_left = AtomicU32::new(service.limits.http2.resets);
        let (signals, date) = (Arc::default(), Mutex::default());
        Self { runtime, service, info, stripe, signals, date, resets_left }
    }

    /// Whether the client has broken off too many requests.
    pub(super) fn is_reset_too_often(&self) -> bool {
        self.resets_left.load(Ordering::Relaxed) == 0
    }

    fn request_ended(&self, finished: bool) {
        let most = self.service.limits.http2.resets;
        let left = self.resets_left.load(Ordering::Relaxed);
        let left = if finished { left.saturating_add(1).min(most) } else { left.saturating_sub(1) };
        self.resets_left.store(left, Ordering::Relaxed);
    }
}

/// Answers one request of a connection.
pub(super) async fn respond<R: Runtime, H: Handler>(
    shared: Arc<Shared<R, H>>,
    request: Request<Incoming>,
) -> Result<Response<Answered<R, H>>, Infallible> {
    let mut in_work = InWork::enter(shared);
    let Shared { runtime, service, info, stripe, signals, date, .. } = &*in_work.shared;
    let begun = runtime.now();
    let limits = &service.limits;
    let answers_head = request.method() == Method::HEAD;
    let mut request = request.map(|body| {
        let receiving = !http_body::Body::is_end_stream(&body);
        let deadline =
            receiving.then(|| HyperTimer::new(runtime.clone()).sleep_until(begun + limits.body_time));
        Body::received_http2(body, Arc::clone(info), deadline, limits.body_bytes)
    });
    let mut response = match refuse(&mut request, in_work.over_limit, limits.body_bytes) {
        Some(response) => response,
        None => service.handler.handle(request).await,
    };
    if answers_head {
        without_body(&mut response);
    }
    let now = runtime.now();
    let date = date.lock().unwrap_or_else(PoisonError::into_inner).at(now, || runtime.unix_time());
    if let Some(date) = date {
        response.headers_mut().entry(DATE).or_insert(date);
    }
    if let Some(elsewhere) = &service.alt_svc {
        response.headers_mut().entry(ALT_SVC).or_insert_with(|| elsewhere.clone());
    }
    stripe.request_answered(response.status(), now.saturating_duration_since(begun));
    signals.moved();
    in_work.answered = true;
    Ok(response.map(|body| Answered { body, rest: Bytes::new(), ended: false, in_work }))
}

/// RFC 9110, 9.3.2: what answers `HEAD` says how long its body would be, and has none. hyper leaves that to its user.
fn without_body(response: &mut Response<Body>) {
    let body = std::mem::take(response.body_mut());
    if let Some(length) = http_body::Body::size_hint(&body).exact().filter(|length| *length > 0) {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

/// What the handler need not see. Gives the request a `Host`, where all handlers look for it.
fn refuse(request: &mut Request<Body>, over_limit: bool, body_limit: u64) -> Option<Response<Body>> {
    // RFC 9113, 8.3.1: the authority, or a host field in its place; both must agree.
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let named = match (authority, host) {
        (_, Some(_)) if second.is_some() => false,
        (Some(authority), Some(host)) => authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()),
        (None, None) => false,
        _ => true,
    };
    if !named {
        return Some(refusal(StatusCode::BAD_REQUEST, "a request must name one host"));
    }
    if host.is_none()
        && let Some(Ok(host)) = authority.map(HeaderValue::from_str)
    {
        request.headers_mut().insert(HOST, host);
    }
    if http_body::Body::size_hint(request.body()).lower() > body_limit {
        return Some(refusal(StatusCode::PAYLOAD_TOO_LARGE, format!("body longer than {body_limit} bytes")));
    }
    if over_limit {
        let mut response = status(StatusCode::SERVICE_UNAVAILABLE);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return Some(response);
    }
    if request.method() == Method::CONNECT {
        // A tunnel (RFC 9113, 8.5) has no path, and so no handler.
        return Some(status(StatusCode::METHOD_NOT_ALLOWED));
    }
    None
}

/// A request that counts while it is in work, from its header to the end of its response.
struct InWork<R, H> {
    shared: Arc<Shared<R, H>>,
    over_limit: bool,
    answered: bool,
    finished: bool,
}

impl<R, H> InWork<R, H> {
    fn enter(shared: Arc<Shared<R, H>>) -> Self {
        let before = shared.service.requests.fetch_add(1, Ordering::Relaxed);
        let over_limit = before >= shared.service.limits.requests;
        Self { shared, over_limit, answered: false, finished: false }
    }
}

impl<R, H> Drop for InWork<R, H> {
    fn drop(&mut self) {
        self.shared.service.requests.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            self.shared.stripe.request_abandoned();
        }
        self.shared.request_ended(self.finished);
    }
}

/// A response's body, in pieces, which ends its request when hyper has taken all of it.
pub(super) struct Answered<R, H> {
    body: Body,
    rest: Bytes,
    ended: bool,
    in_work: InWork<R, H>,
}

impl<R, H> http_body::Body for Answered<R, H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let signals = &this.in_work.shared.signals;
        if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_frame(cx).map_ok(Frame::into_data) {
                Poll::Pending => {
                    signals.waits_for_body();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(Ok(data)))) => this.rest = data,
                Poll::Ready(Some(Ok(Err(trailers)))) => {
                    this.ended = true;
                    signals.moved();
                    return Poll::Ready(Some(Ok(trailers)));
                }
                Poll::Ready(end) => {
                    this.ended = true;
                    return Poll::Ready(end.and_then(Result::err).map(Err));
                }
            }
        }
        signals.moved();
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && (self.ended || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

impl<R, H> Drop for Answered<R, H> {
    fn drop(&mut self) {
        self.in_work.finished = http_body::Body::is_end_stream(self);
    }
}

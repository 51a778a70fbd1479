//! From hyper's request to the handler's, and back to hyper's response.

use super::super::super::body::{Body, BodyError};
use super::super::super::handler::Handler;
use super::super::super::info::ConnectionInfo;
use super::super::super::metrics::Stripe;
use super::super::super::response::status;
use super::super::Service;
use super::super::date::DateCache;
use super::super::work::{InWork, Shared, refuse};
use super::streams::Spawner;
use super::tunnel::Tunnel;
use crate::grpc::is_call;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue};
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
use std::time::Instant;

/// A response is handed over in pieces of at most this many bytes, so that what waits for a client that takes nothing
/// waits here, where it can be ended.
const PIECE: usize = 16 * 1024;

/// What the requests of one connection share.
pub(super) struct Context<R: Runtime, H> {
    runtime: R,
    service: Arc<Service<H>>,
    info: Arc<ConnectionInfo>,
    stripe: Arc<Stripe>,
    pub(super) spawner: Spawner<R>,
    date: Mutex<DateCache>,
    /// When the connection's task was polled.
    polled: Mutex<Instant>,
    /// Requests that the client may still break off; finished ones give one back.
    resets_left: AtomicU32,
}

impl<R: Runtime, H> Context<R, H> {
    pub(super) fn new(
        runtime: R,
        service: Arc<Service<H>>,
        info: Arc<ConnectionInfo>,
        stripe: Arc<Stripe>,
        spawner: Spawner<R>,
    ) -> Self {
        let resets_left = AtomicU32::new(service.limits.http2.resets);
        let polled = Mutex::new(runtime.now());
        Self { runtime, service, info, stripe, spawner, date: Mutex::default(), polled, resets_left }
    }

    /// The connection's task is polled: what begins now, begins at this time.
    pub(super) fn polled(&self, now: Instant) {
        *self.polled.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Whether the client has broken off too many requests.
    pub(super) fn is_reset_too_often(&self) -> bool {
        self.resets_left.load(Ordering::Relaxed) == 0
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

    fn request_ended(&self, finished: bool) {
        let most = self.service.limits.http2.resets;
        let left = self.resets_left.load(Ordering::Relaxed);
        let left = if finished { left.saturating_add(1).min(most) } else { left.saturating_sub(1) };
        self.resets_left.store(left, Ordering::Relaxed);
    }
}

/// Answers one request of a connection.
pub(super) async fn respond<R: Runtime, H: Handler>(
    context: Arc<Context<R, H>>,
    request: Request<Incoming>,
) -> Result<Response<Answered<R, H>>, Infallible> {
    let mut in_work = InWork::enter(context);
    let Context { runtime, service, info, spawner, .. } = &*in_work.shared;
    let begun = *in_work.shared.polled.lock().unwrap_or_else(PoisonError::into_inner);
    let limits = &service.limits;
    let answers_head = request.method() == Method::HEAD;
    let mut request = request.map(|body| {
        let receiving = !http_body::Body::is_end_stream(&body);
        let deadline =
            receiving.then(|| HyperTimer::new(runtime.clone()).sleep_until(begun + limits.body_time));
        Body::received_http2(body, Arc::clone(info), deadline, limits.body_bytes)
    });
    // A call of gRPC has limits of its own; whoever else reads such a body still meets the one for bodies.
    let length =
        if is_call(request.headers()) { 0 } else { http_body::Body::size_hint(request.body()).lower() };
    let tunnel = Tunnel::of(&mut request);
    let refused = refuse(&mut request, length, limits, in_work.over_limit).or_else(|| without_path(&request));
    let mut response = match refused {
        Some(response) => response,
        None => service.handler.handle(request).await,
    };
    if answers_head {
        without_body(&mut response);
    }
    if let Some(tunnel) = tunnel {
        tunnel.settle(&mut response, runtime, spawner);
    }
    spawner.signals().moved();
    in_work.answer(&mut response, begun);
    Ok(response.map(|body| Answered { body, rest: Bytes::new(), ended: false, in_work }))
}

/// A tunnel (RFC 9113, 8.5) has no path, and so no handler.
fn without_path(request: &Request<Body>) -> Option<Response<Body>> {
    let tunnel =
        request.method() == Method::CONNECT && request.extensions().get::<hyper::ext::Protocol>().is_none();
    tunnel.then(|| status(StatusCode::METHOD_NOT_ALLOWED))
}

/// RFC 9110, 9.3.2: what answers `HEAD` says how long its body would be, and has none. hyper leaves that to its user.
fn without_body(response: &mut Response<Body>) {
    let body = std::mem::take(response.body_mut());
    if let Some(length) = http_body::Body::size_hint(&body).exact().filter(|length| *length > 0) {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

/// A response's body, in pieces, which ends its request when hyper has taken all of it.
pub(super) struct Answered<R: Runtime, H> {
    body: Body,
    rest: Bytes,
    ended: bool,
    in_work: InWork<Context<R, H>>,
}

impl<R: Runtime, H> http_body::Body for Answered<R, H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let signals = this.in_work.shared.spawner.signals();
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

impl<R: Runtime, H> Drop for Answered<R, H> {
    fn drop(&mut self) {
        self.in_work.finished = http_body::Body::is_end_stream(self);
    }
}

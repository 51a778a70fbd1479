//! From hyper's request to the handler's, and back to hyper's response.

use super::super::body::{Body, BodyError};
use super::super::handler::Handler;
use super::super::response::{refusal, status};
use super::super::upgrade::{self, Takeover};
use super::Service;
use super::activity::Activity;
use bytes::Bytes;
use http::header::{ALT_SVC, CONNECTION, DATE, HOST, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use shroud_runtime::Runtime;
use shroud_runtime::task::polled_at;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};

/// What the requests of one connection share.
pub(crate) struct Context<R, H> {
    pub(crate) runtime: R,
    pub(crate) service: Arc<Service<H>>,
    pub(crate) activity: Arc<Activity>,
    /// Who takes the connection over when hyper is done with it.
    pub(crate) takeover: Mutex<Option<Takeover>>,
}

impl<R, H> Context<R, H> {
    pub(crate) fn takeover(&self) -> Option<Takeover> {
        self.takeover.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Answers one request of a connection.
pub(crate) async fn respond<R: Runtime, H: Handler>(
    context: Arc<Context<R, H>>,
    request: Request<Incoming>,
) -> Result<Response<Answered<R, H>>, Infallible> {
    let mut in_work = InWork::enter(context);
    let Context { runtime, service, activity, takeover } = &*in_work.context;
    let begun = poll_fn(|cx| Poll::Ready(polled_at(cx.waker()))).await.unwrap_or_else(|| runtime.now());
    let ambiguous = activity.request_begun(!http_body::Body::is_end_stream(request.body()));
    let limit = service.limits.body_bytes;
    let request = request.map(|body| Body::received(body, activity, limit));
    let mut response = match refuse(&request, ambiguous, in_work.over_limit, limit) {
        Some(response) => response,
        None => service.handler.handle(request).await,
    };
    if let Some(next) = upgrade::detach(&mut response) {
        *takeover.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }
    if activity.is_body_unread() || ambiguous {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let now = runtime.now();
    if let Some(date) = activity.date(now, || runtime.unix_time()) {
        response.headers_mut().entry(DATE).or_insert(date);
    }
    if let Some(elsewhere) = &service.alt_svc {
        response.headers_mut().entry(ALT_SVC).or_insert_with(|| elsewhere.clone());
    }
    activity.stripe().request_answered(response.status(), now.saturating_duration_since(begun));
    in_work.answered = true;
    Ok(response.map(|body| Answered { body, _in_work: in_work }))
}

/// What the handler need not see.
fn refuse(
    request: &Request<Body>,
    ambiguous: bool,
    over_limit: bool,
    body_limit: u64,
) -> Option<Response<Body>> {
    if ambiguous {
        let reason = "a request must not have both content-length and transfer-encoding";
        return Some(refusal(StatusCode::BAD_REQUEST, reason));
    }
    if request.version() == Version::HTTP_11 {
        // RFC 9112, 3.2: exactly one.
        let mut hosts = request.headers().get_all(HOST).iter();
        if hosts.next().is_none() || hosts.next().is_some() {
            return Some(refusal(StatusCode::BAD_REQUEST, "a request must have one host field"));
        }
    }
    if http_body::Body::size_hint(request.body()).lower() > body_limit {
        return Some(refusal(StatusCode::PAYLOAD_TOO_LARGE, format!("body longer than {body_limit} bytes")));
    }
    if over_limit {
        let mut response = status(StatusCode::SERVICE_UNAVAILABLE);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return Some(response);
    }
    None
}

/// A request that counts while it is in work, from its header to the end of its response.
struct InWork<R, H> {
    context: Arc<Context<R, H>>,
    over_limit: bool,
    answered: bool,
}

impl<R, H> InWork<R, H> {
    fn enter(context: Arc<Context<R, H>>) -> Self {
        let before = context.service.requests.fetch_add(1, Ordering::Relaxed);
        let over_limit = before >= context.service.limits.requests;
        Self { context, over_limit, answered: false }
    }
}

impl<R, H> Drop for InWork<R, H> {
    fn drop(&mut self) {
        self.context.service.requests.fetch_sub(1, Ordering::Relaxed);
        self.context.activity.request_ended();
        if !self.answered {
            self.context.activity.stripe().request_abandoned();
        }
    }
}

/// A response's body, which ends its request when hyper has taken all of it.
pub(crate) struct Answered<R, H> {
    body: Body,
    _in_work: InWork<R, H>,
}

impl<R, H> http_body::Body for Answered<R, H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

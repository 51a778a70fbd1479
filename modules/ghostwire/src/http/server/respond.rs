//! From hyper's request to the handler's, and back to hyper's response.

use super::super::body::{Body, BodyError};
use super::super::handler::Handler;
use super::super::metrics::Stripe;
use super::super::response::refusal;
use super::super::upgrade::{self, Takeover};
use super::Service;
use super::activity::Activity;
use super::date::DateCache;
use super::work::{InWork, Shared, refuse};
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use shroud_runtime::Runtime;
use shroud_runtime::task::polled_at;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
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
        self.activity.stripe()
    }

    fn dates(&self) -> &Mutex<DateCache> {
        self.activity.dates()
    }

    fn request_ended(&self, _: bool) {
        self.activity.request_ended();
    }
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
    let Context { runtime, service, activity, takeover } = &*in_work.shared;
    let begun = poll_fn(|cx| Poll::Ready(polled_at(cx.waker()))).await.unwrap_or_else(|| runtime.now());
    let ambiguous = activity.request_begun(!http_body::Body::is_end_stream(request.body()));
    let mut request = request.map(|body| Body::received(body, activity, service.limits.body_bytes));
    let length = http_body::Body::size_hint(request.body()).lower();
    let refused = if ambiguous {
        let reason = "a request must not have both content-length and transfer-encoding";
        Some(refusal(StatusCode::BAD_REQUEST, reason))
    } else {
        refuse(&mut request, length, &service.limits, in_work.over_limit)
    };
    let mut response = match refused {
        Some(response) => response,
        None => service.handler.handle(request).await,
    };
    if let Some(next) = upgrade::detach(&mut response) {
        *takeover.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }
    if activity.is_body_unread() || ambiguous {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    in_work.answer(&mut response, begun);
    Ok(response.map(|body| Answered { body, _in_work: in_work }))
}

/// A response's body, which ends its request when hyper has taken all of it.
pub(crate) struct Answered<R: Runtime, H> {
    body: Body,
    _in_work: InWork<Context<R, H>>,
}

impl<R: Runtime, H> http_body::Body for Answered<R, H> {
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

//! Services and clients that others' code generators made: tonic's, and whatever else is a tower `Service` of HTTP.
//!
//! tonic's generated servers are such services over any body, its generated clients work over any such service. With
//! `tonic = { default-features = false, features = ["codegen"] }` no transport and no runtime comes along.

use super::options::Clock;
use super::outgoing::Timed;
use super::server::{refuse, timeout_of, trailers_only, within};
use crate::http::{self as our, Body, BodyError, ClientError, Handler, Router, Uri};
use bytes::Bytes;
use http_body::Frame;
use shroud_runtime::Runtime;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// A tower service that answers gRPC calls, as a [`Handler`].
///
/// What is no gRPC is refused, and deadlines hold, as for [`Server`](super::Server). Limits of messages are the service's.
#[derive(Clone)]
pub struct Mounted<S> {
    service: S,
    clock: Clock,
}

impl<S> fmt::Debug for Mounted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mounted")
    }
}

impl<S> Mounted<S> {
    /// Calls `service`, with deadlines by the clock of `runtime`.
    pub fn new<R: Runtime>(runtime: &R, service: S) -> Self {
        Self { service, clock: Clock::of(runtime) }
    }

    /// Routes the paths of the service called `name` (its full name) here.
    #[must_use]
    pub fn mount(self, name: &str, router: Router) -> Router
    where
        Self: Handler,
    {
        router.any(&format!("/{name}/*"), self)
    }
}

impl<S, B> Handler for Mounted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    async fn handle(&self, request: http::Request<Body>) -> http::Response<Body> {
        if let Some(refused) = refuse(&request) {
            return refused;
        }
        let deadline = match timeout_of(request.headers()) {
            Ok(timeout) => self.clock.deadline(timeout),
            Err(status) => return trailers_only(status),
        };
        let mut service = self.service.clone();
        let answer = async {
            let Ok(()) = poll_fn(|cx| service.poll_ready(cx)).await;
            let Ok(response) = service.call(request.map(Body::without_limits)).await;
            response
        };
        match within(&self.clock, deadline, answer).await {
            Ok(response) => response.map(|body| {
                let body = of_any(body);
                match deadline {
                    Some(deadline) => Timed::body(body, self.clock.sleep_until(deadline)),
                    None => body,
                }
            }),
            Err(status) => trailers_only(status),
        }
    }
}

/// An HTTP client as a tower service, for generated clients: they speak to the server at its address.
pub struct Transport<R: Runtime> {
    http: our::Client<R>,
    address: Uri,
}

impl<R: Runtime> Transport<R> {
    /// Sends requests that name no server to the one at `address`; see [`Client::new`](super::Client::new) for the rest.
    pub fn new(http: &our::Client<R>, address: Uri) -> Self {
        Self { http: http.for_calls(), address }
    }
}

impl<R: Runtime> Clone for Transport<R> {
    fn clone(&self) -> Self {
        Self { http: self.http.clone(), address: self.address.clone() }
    }
}

impl<R: Runtime> fmt::Debug for Transport<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({})", self.address)
    }
}

impl<R, B> Service<http::Request<B>> for Transport<R>
where
    R: Runtime,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = ClientError;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, ClientError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let Self { http, address } = self.clone();
        let mut request = request.map(of_any);
        Box::pin(async move {
            if request.uri().authority().is_none() {
                let mut parts = address.clone().into_parts();
                parts.path_and_query = request.uri().path_and_query().cloned();
                *request.uri_mut() = Uri::from_parts(parts).map_err(|_| ClientError::Address(address))?;
            }
            http.open(request).await
        })
    }
}

fn of_any<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return Body::empty();
    }
    Body::stream(Foreign(Box::pin(body)))
}

/// A body of another's making.
struct Foreign<B>(Pin<Box<B>>);

impl<B> http_body::Body for Foreign<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.as_mut().poll_frame(cx).map_err(|error| BodyError::Stream(error.into()))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

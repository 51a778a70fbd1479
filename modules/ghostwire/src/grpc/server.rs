//! The server: from an HTTP request to a method's function, and back.

use super::code::Code;
use super::compression::{ACCEPTED, Encoding, GRPC_ACCEPT_ENCODING, GRPC_ENCODING};
use super::message::Request;
use super::metadata::Metadata;
use super::options::{Clock, Options};
use super::outgoing::{Encoder, Outgoing};
use super::service::{AnyMethod, Call, Service};
use super::status::Status;
use super::streaming::{Side, Streaming, deadline_exceeded};
use super::timeout::{GRPC_TIMEOUT, parse_timeout};
use crate::http::{
    Body, Handler, HeaderMap, HeaderValue, Method, Router, StatusCode, header, refusal, status,
};
use futures_util::future::{Either, select};
use http::Version;
use shroud_runtime::Runtime;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// Answers gRPC calls: a [`Handler`] for any path, or for the paths of its services by [`Server::mount`].
///
/// gRPC needs HTTP/2, so that calls over another version are answered 505; what is no gRPC is answered 415 or 405.
/// [`Limits::body_bytes`] and [`Limits::body_time`] do not hold for calls: [`Options`] limits single messages, and
/// streams of them may go on for as long as both sides want. Clones share the services.
///
/// [`Limits::body_bytes`]: crate::http::Limits::body_bytes
/// [`Limits::body_time`]: crate::http::Limits::body_time
#[derive(Clone)]
pub struct Server {
    services: BTreeMap<String, BTreeMap<String, Arc<dyn AnyMethod>>>,
    options: Options,
    clock: Clock,
}

impl Server {
    /// A server without services, with the clock of `runtime`.
    pub fn new<R: Runtime>(runtime: &R, options: Options) -> Self {
        Self { services: BTreeMap::new(), options, clock: Clock::of(runtime) }
    }

    /// Adds a service; one with the same name is replaced.
    #[must_use]
    pub fn with(mut self, service: Service) -> Self {
        let (name, methods) = service.into_methods();
        self.services.insert(name, methods.into_iter().collect());
        self
    }

    /// The names of its services.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// Routes the paths of its services here. Paths of other services are then answered 404, which clients read as
    /// `UNIMPLEMENTED`.
    #[must_use]
    pub fn mount(self, router: Router) -> Router {
        let paths: Vec<String> = self.services().map(|name| format!("/{name}/*")).collect();
        paths.into_iter().fold(router, |router, path| router.any(&path, self.clone()))
    }

    fn find(&self, path: &str) -> Result<Arc<dyn AnyMethod>, Status> {
        let unknown = |what, name: &str| Status::new(Code::Unimplemented, format!("unknown {what} {name}"));
        let (service, method) = path
            .strip_prefix('/')
            .and_then(|path| path.rsplit_once('/'))
            .ok_or_else(|| unknown("method", path))?;
        let methods = self.services.get(service).ok_or_else(|| unknown("service", service))?;
        methods.get(method).map(Arc::clone).ok_or_else(|| unknown("method", path))
    }

    async fn answer(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let method = self.find(head.uri.path())?;
        let timeout = timeout_of(&head.headers)?;
        let encoding = Encoding::of(&head.headers).map_err(|name| {
            Status::new(Code::Unimplemented, format!("messages compressed with {name:?} are not understood"))
        })?;
        let encoder = Encoder::new(&self.options, Encoding::is_gzip_accepted(&head.headers));
        let deadline = self.clock.deadline(timeout);
        let peer = body.peer();
        let stream =
            Streaming::new(body.without_limits(), encoding, self.options, self.clock.clone(), Side::Server);
        let request =
            Request { message: stream, metadata: Metadata::received(head.headers), timeout, deadline, peer };
        let answer = within(&self.clock, deadline, method.call(Call { request, encoder })).await??;
        let deadline = deadline.map(|deadline| self.clock.sleep_until(deadline));
        let body = Outgoing::answer(answer.messages, answer.trailers, deadline);
        let mut response = response(answer.metadata.into_headers(), body);
        if encoder.encoding() == Encoding::Gzip {
            response.headers_mut().insert(GRPC_ENCODING, Encoding::GZIP);
        }
        Ok(response)
    }
}

impl Handler for Server {
    async fn handle(&self, request: http::Request<Body>) -> http::Response<Body> {
        if let Some(refused) = refuse(&request) {
            return refused;
        }
        match self.answer(request).await {
            Ok(response) => response,
            Err(status) => trailers_only(status),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.services.keys()).finish()
    }
}

/// What `grpc-timeout` says.
pub(super) fn timeout_of(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(GRPC_TIMEOUT) else { return Ok(None) };
    let timeout = parse_timeout(value.as_bytes());
    let malformed = || Status::new(Code::Internal, format!("malformed grpc-timeout {value:?}"));
    timeout.map(Some).ok_or_else(malformed)
}

/// The future's outcome, unless the deadline comes first: then it is dropped.
pub(super) async fn within<F: Future>(
    clock: &Clock,
    deadline: Option<Instant>,
    future: F,
) -> Result<F::Output, Status> {
    let Some(deadline) = deadline else { return Ok(future.await) };
    match select(clock.sleep_until(deadline), pin!(future)).await {
        Either::Left(((), _)) => Err(deadline_exceeded()),
        Either::Right((output, _)) => Ok(output),
    }
}

/// What is no call of gRPC (gRPC over HTTP2, "Requests").
pub(super) fn refuse(request: &http::Request<Body>) -> Option<http::Response<Body>> {
    if request.version() != Version::HTTP_2 {
        return Some(refusal(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2"));
    }
    if request.method() != Method::POST {
        let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    if !is_call(request.headers()) {
        return Some(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not application/grpc"));
    }
    None
}

/// Whether a message says that it belongs to a call.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| is_grpc(value.as_bytes()))
}

/// `application/grpc` with messages of protobuf, which go without saying.
fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| {
        let rest = rest.strip_prefix(b"+proto").unwrap_or(rest);
        rest.is_empty() || rest.starts_with(b";")
    })
}

fn response(mut headers: HeaderMap, body: Body) -> http::Response<Body> {
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert(GRPC_ACCEPT_ENCODING, ACCEPTED);
    let mut response = http::Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// An answer whose header says how the call ended (gRPC over HTTP2, "Trailers-Only").
pub(super) fn trailers_only(status: Status) -> http::Response<Body> {
    response(status.into_trailers(), Body::empty())
}

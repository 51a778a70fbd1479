//! The client: calls of all four kinds over HTTP/2.

use super::code::Code;
use super::compression::{ACCEPTED, Encoding, GRPC_ACCEPT_ENCODING, GRPC_ENCODING};
use super::message::{Request, Response};
use super::metadata::Metadata;
use super::options::{Clock, Options};
use super::outgoing::{Encoder, Messages, Outgoing};
use super::server::{is_call, within};
use super::status::{GRPC_STATUS, Status};
use super::streaming::{Side, Streaming, of_connection};
use super::timeout::{GRPC_TIMEOUT, timeout_value};
use crate::http::{self as our, Body, BodyError, ClientError, HeaderValue, StatusCode, Uri, header};
use futures_util::{Stream, StreamExt};
use http::uri::{Authority, PathAndQuery, Scheme};
use prost::Message;
use shroud_runtime::Runtime;
use std::fmt;
use std::time::Duration;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("grpc-shroud/", env!("CARGO_PKG_VERSION")));

/// Calls the methods of one server, over one HTTP/2 connection that all calls share. Clones share it.
///
/// Calls have no tasks: a call is driven by whoever waits for its answer or its next message, and so is what it
/// sends. A stream of requests that is fed from elsewhere goes on only while somebody does.
///
/// Cancel safety: dropping a call's future, or the [`Streaming`] that it gave, gives the call up, and the server is told
/// (`CANCEL`).
pub struct Client<R: Runtime> {
    http: our::Client<R>,
    scheme: Scheme,
    authority: Authority,
    options: Options,
    clock: Clock,
}

/// Not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a gRPC server (http://HOST:PORT or https://HOST:PORT): {0}")]
pub struct InvalidAddress(Uri);

impl<R: Runtime> Clone for Client<R> {
    fn clone(&self) -> Self {
        Self {
            http: self.http.clone(),
            scheme: self.scheme.clone(),
            authority: self.authority.clone(),
            options: self.options,
            clock: self.clock.clone(),
        }
    }
}

impl<R: Runtime> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}://{})", self.scheme, self.authority)
    }
}

impl<R: Runtime> Client<R> {
    /// A client of the server at `address`, with the TLS and the connecting time of `http`. `http` addresses are spoken to
    /// in HTTP/2 at once; for `https` ones the server must choose it (ALPN).
    ///
    /// # Errors
    /// [`InvalidAddress`] when it is none.
    pub fn new(http: &our::Client<R>, address: &Uri, options: Options) -> Result<Self, InvalidAddress> {
        let clock = Clock::of(http.runtime());
        let (scheme, authority) = match (address.scheme(), address.authority()) {
            (Some(scheme), Some(authority)) if ["", "/"].contains(&address.path()) => {
                (scheme.clone(), authority.clone())
            }
            _ => return Err(InvalidAddress(address.clone())),
        };
        Ok(Self { http: http.for_calls(), scheme, authority, options, clock })
    }

    /// One message out, one in. `path` is `/package.Service/Method`.
    ///
    /// # Errors
    /// The call's [`Status`]: the server's, or what the failure means by gRPC's rules.
    pub async fn unary<Q, A>(&self, path: &str, request: Request<Q>) -> Result<Response<A>, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        self.single(self.server_streaming(path, request).await?).await
    }

    /// One message out, a stream in.
    ///
    /// # Errors
    /// The call's [`Status`] when it ends before its answer begins. Later, the stream gives it.
    pub async fn server_streaming<Q, A>(
        &self,
        path: &str,
        request: Request<Q>,
    ) -> Result<Response<Streaming<A>>, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        let Request { message, metadata, timeout, .. } = request;
        let messages = Messages::One(self.encoder().one(&message)?);
        self.call(path, metadata, timeout, messages).await
    }

    /// A stream out, one message in.
    ///
    /// # Errors
    /// As for [`Client::unary`].
    pub async fn client_streaming<Q, A, S>(
        &self,
        path: &str,
        request: Request<S>,
    ) -> Result<Response<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default,
        S: Stream<Item = Q> + Send + 'static,
    {
        self.single(self.bidirectional(path, request).await?).await
    }

    /// A stream out, a stream in.
    ///
    /// # Errors
    /// As for [`Client::server_streaming`].
    pub async fn bidirectional<Q, A, S>(
        &self,
        path: &str,
        request: Request<S>,
    ) -> Result<Response<Streaming<A>>, Status>
    where
        Q: Message + 'static,
        A: Message + Default,
        S: Stream<Item = Q> + Send + 'static,
    {
        let Request { message, metadata, timeout, .. } = request;
        let messages = Messages::stream(message.map(Ok), self.encoder());
        self.call(path, metadata, timeout, messages).await
    }

    /// What a client sends compressed, a server may refuse with `UNIMPLEMENTED`: it cannot be asked first.
    fn encoder(&self) -> Encoder {
        Encoder::new(&self.options, true)
    }

    async fn single<A: Message + Default>(
        &self,
        response: Response<Streaming<A>>,
    ) -> Result<Response<A>, Status> {
        let Response { message: mut stream, metadata, .. } = response;
        let message = stream.single().await?;
        Ok(Response { message, metadata, trailers: stream.take_trailers() })
    }

    async fn call<A>(
        &self,
        path: &str,
        metadata: Metadata,
        timeout: Option<Duration>,
        messages: Messages,
    ) -> Result<Response<Streaming<A>>, Status> {
        let deadline = self.clock.deadline(timeout);
        let request = self.request(path, metadata, timeout, Outgoing::request(messages))?;
        let opened = within(&self.clock, deadline, self.http.open(request)).await?;
        let (head, body) = opened.map_err(|error| of_client(&error))?.into_parts();
        let told = Status::from_headers(&head.headers);
        if head.status != StatusCode::OK {
            let text = format!("the server answered HTTP status {}", head.status);
            return Err(told.unwrap_or_else(|| Status::new(Code::of_http(head.status), text)));
        }
        if !is_call(&head.headers) {
            let content_type = head.headers.get(header::CONTENT_TYPE);
            return Err(Status::new(
                Code::Unknown,
                format!("the answer is no gRPC: content type {content_type:?}"),
            ));
        }
        let encoding = Encoding::of(&head.headers)
            .map_err(|name| Status::new(Code::Internal, format!("an answer compressed with {name:?}")))?;
        let deadline = deadline.map(|deadline| self.clock.sleep_until(deadline));
        let stream =
            Streaming::new(body, encoding, self.options, self.clock.clone(), Side::Client { deadline });
        match told {
            None => {
                let metadata = Metadata::received(head.headers);
                Ok(Response { message: stream, metadata, trailers: Metadata::new() })
            }
            Some(status) if status.code() == Code::Ok => {
                Ok(Response::new(stream.ended(status.metadata().clone())))
            }
            Some(status) => Err(status),
        }
    }

    fn request(
        &self,
        path: &str,
        metadata: Metadata,
        timeout: Option<Duration>,
        body: Body,
    ) -> Result<our::Request<Body>, Status> {
        let invalid = |_| Status::new(Code::Internal, format!("{path:?} is not the path of a method"));
        let path_and_query = PathAndQuery::try_from(path).map_err(|error| invalid(error.into()))?;
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path_and_query)
            .build()
            .map_err(invalid)?;
        let mut request = our::Request::new(body);
        *request.method_mut() = our::Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        *headers = metadata.into_headers();
        headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_ACCEPT_ENCODING, ACCEPTED);
        headers.remove(GRPC_STATUS);
        if self.options.compress {
            headers.insert(GRPC_ENCODING, Encoding::GZIP);
        }
        if let Some(timeout) = timeout {
            headers.insert(GRPC_TIMEOUT, timeout_value(timeout));
        }
        Ok(request)
    }
}

/// What a request that got no response means.
fn of_client(error: &ClientError) -> Status {
    match error {
        ClientError::Connection(error) | ClientError::Body(BodyError::Broken(error)) => of_connection(error),
        ClientError::Address(_) => Status::new(Code::Internal, error.to_string()),
        other => Status::new(Code::Unavailable, other.to_string()),
    }
}

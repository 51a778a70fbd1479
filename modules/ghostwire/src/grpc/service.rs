//! Services: methods by name, and the functions that answer them.

use super::message::{Request, Response};
use super::metadata::Metadata;
use super::outgoing::{Encoder, Messages};
use super::status::Status;
use super::streaming::Streaming;
use bytes::Bytes;
use futures_util::Stream;
use prost::Message;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A service: the methods of one `service` of a `.proto` file, each with the function that answers it.
///
/// Messages are prost's. Functions run inside the connection's task; a future or a stream is dropped when the caller gives
/// the call up or its deadline is over. A registration with the name of an earlier one replaces it.
pub struct Service {
    name: String,
    methods: Methods,
}

/// Methods by name.
type Methods = Vec<(String, Arc<dyn AnyMethod>)>;

/// One call: what came, not read yet.
pub(super) struct Call {
    pub(super) request: Request<Streaming<Raw>>,
    pub(super) encoder: Encoder,
}

/// An answer: its messages, framed.
pub(super) struct Answer {
    pub(super) messages: Messages,
    pub(super) metadata: Metadata,
    pub(super) trailers: Metadata,
}

pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Answer, Status>> + Send>>;

/// A method, whatever its messages are.
pub(super) trait AnyMethod: Send + Sync + 'static {
    fn call(&self, call: Call) -> Answering;
}

/// Stands for messages of a type that is not known yet.
pub(super) struct Raw(#[expect(dead_code, reason = "never made")] Bytes);

struct Method<F> {
    answer: F,
}

impl<F> AnyMethod for Method<F>
where
    F: Fn(Call) -> Answering + Send + Sync + 'static,
{
    fn call(&self, call: Call) -> Answering {
        (self.answer)(call)
    }
}

impl Call {
    fn streaming<Q>(self) -> (Request<Streaming<Q>>, Encoder) {
        (self.request.map(Streaming::cast), self.encoder)
    }

    async fn single<Q: Message + Default>(self) -> Result<(Request<Q>, Encoder), Status> {
        let (mut request, encoder) = self.streaming::<Q>();
        let message = request.message.single().await?;
        Ok((request.map(|_| message), encoder))
    }
}

impl Answer {
    fn one<A: Message>(response: Response<A>, encoder: Encoder) -> Result<Self, Status> {
        let Response { message, metadata, trailers } = response;
        Ok(Self { messages: Messages::One(encoder.one(&message)?), metadata, trailers })
    }

    fn stream<A, S>(response: Response<S>, encoder: Encoder) -> Self
    where
        A: Message,
        S: Stream<Item = Result<A, Status>> + Send + 'static,
    {
        let Response { message, metadata, trailers } = response;
        Self { messages: Messages::stream(message, encoder), metadata, trailers }
    }
}

impl Service {
    /// A service without methods. `name` is the full one, with its package: `grpc.health.v1.Health`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), methods: Vec::new() }
    }

    /// Its full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn into_methods(self) -> (String, Methods) {
        (self.name, self.methods)
    }

    fn method(mut self, name: &str, answer: impl Fn(Call) -> Answering + Send + Sync + 'static) -> Self {
        self.methods.push((name.to_owned(), Arc::new(Method { answer })));
        self
    }

    /// One message in, one out.
    #[must_use]
    pub fn unary<Q, A, F, T>(self, name: &str, function: F) -> Self
    where
        Q: Message + Default + 'static,
        A: Message + 'static,
        F: Fn(Request<Q>) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Response<A>, Status>> + Send + 'static,
    {
        let function = Arc::new(function);
        self.method(name, move |call| {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let (request, encoder) = call.single::<Q>().await?;
                Answer::one(function(request).await?, encoder)
            })
        })
    }

    /// One message in, a stream out. The stream is asked for more as the caller takes what came: it is held back by a
    /// caller that does not.
    #[must_use]
    pub fn server_streaming<Q, A, S, F, T>(self, name: &str, function: F) -> Self
    where
        Q: Message + Default + 'static,
        A: Message + 'static,
        S: Stream<Item = Result<A, Status>> + Send + 'static,
        F: Fn(Request<Q>) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Response<S>, Status>> + Send + 'static,
    {
        let function = Arc::new(function);
        self.method(name, move |call| {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let (request, encoder) = call.single::<Q>().await?;
                Ok(Answer::stream(function(request).await?, encoder))
            })
        })
    }

    /// A stream in, one message out.
    #[must_use]
    pub fn client_streaming<Q, A, F, T>(self, name: &str, function: F) -> Self
    where
        Q: Message + Default + 'static,
        A: Message + 'static,
        F: Fn(Request<Streaming<Q>>) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Response<A>, Status>> + Send + 'static,
    {
        let function = Arc::new(function);
        self.method(name, move |call| {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let (request, encoder) = call.streaming::<Q>();
                Answer::one(function(request).await?, encoder)
            })
        })
    }

    /// A stream in, a stream out. Callers may wait for the answer's beginning before they send: the function should return
    /// its stream at once, and read the other one from within it.
    #[must_use]
    pub fn bidirectional<Q, A, S, F, T>(self, name: &str, function: F) -> Self
    where
        Q: Message + Default + 'static,
        A: Message + 'static,
        S: Stream<Item = Result<A, Status>> + Send + 'static,
        F: Fn(Request<Streaming<Q>>) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Response<S>, Status>> + Send + 'static,
    {
        let function = Arc::new(function);
        self.method(name, move |call| {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let (request, encoder) = call.streaming::<Q>();
                Ok(Answer::stream(function(request).await?, encoder))
            })
        })
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods: Vec<&str> = self.methods.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Service").field("name", &self.name).field("methods", &methods).finish()
    }
}

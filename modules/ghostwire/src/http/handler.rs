//! What answers requests.

use super::body::Body;
use http::{Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Answers requests, of every HTTP version.
///
/// Cancel safety: when a client goes away its connection ends, and the future of a request in work may be dropped at
/// any await point. Work that must not be torn belongs in a task of its own.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Failures are responses too.
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

/// A function as a [`Handler`]. Made by [`handler_fn`].
#[derive(Clone, Debug)]
pub struct HandlerFn<F> {
    function: F,
}

/// Makes a [`Handler`] of an asynchronous function.
pub fn handler_fn<F, A>(function: F) -> HandlerFn<F>
where
    F: Fn(Request<Body>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send,
{
    HandlerFn { function }
}

impl<F, A> Handler for HandlerFn<F>
where
    F: Fn(Request<Body>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send,
{
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        (self.function)(request)
    }
}

impl<H: Handler> Handler for Arc<H> {
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        (**self).handle(request)
    }
}

/// An answer on its way, of a handler whose type is not known.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>>;

/// A [`Handler`] behind a pointer.
pub(crate) trait AnyHandler: Send + Sync + 'static {
    fn handle_any(&self, request: Request<Body>) -> Answer<'_>;
}

impl<H: Handler> AnyHandler for H {
    fn handle_any(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(self.handle(request))
    }
}

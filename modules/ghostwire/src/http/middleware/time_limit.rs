//! A time limit for answers.

use super::super::body::Body;
use super::super::handler::Handler;
use super::super::response::status;
use http::{Request, Response, StatusCode};
use shroud_runtime::{Runtime, RuntimeExt};
use std::time::Duration;

/// Answers 503 when a handler has not begun its answer in time, and drops its future. A body that is under way is not
/// limited: that is the server's write time.
#[derive(Debug, Clone)]
pub struct TimeLimited<R, H> {
    runtime: R,
    handler: H,
    limit: Duration,
}

impl<R: Runtime, H: Handler> TimeLimited<R, H> {
    /// Gives `handler` so long for each answer.
    pub const fn new(runtime: R, handler: H, limit: Duration) -> Self {
        Self { runtime, handler, limit }
    }
}

impl<R: Runtime, H: Handler> Handler for TimeLimited<R, H> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        match self.runtime.timeout(self.limit, self.handler.handle(request)).await {
            Ok(response) => response,
            Err(_) => status(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

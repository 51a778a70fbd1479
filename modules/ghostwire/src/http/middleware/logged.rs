//! A line for each request.

use super::super::body::Body;
use super::super::handler::Handler;
use super::super::info::ConnectionInfo;
use http::{Request, Response};
use shroud_runtime::Runtime;

/// Logs each request when its answer begins: method, path, status, time, peer. At level INFO, 5xx at WARN, of the target
/// `shroud::access`. Neither query nor header fields are logged: they hold secrets.
#[derive(Debug, Clone)]
pub struct Logged<R, H> {
    runtime: R,
    handler: H,
}

impl<R: Runtime, H: Handler> Logged<R, H> {
    /// Logs what `handler` answers.
    pub const fn new(runtime: R, handler: H) -> Self {
        Self { runtime, handler }
    }
}

impl<R: Runtime, H: Handler> Handler for Logged<R, H> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        if !tracing::enabled!(target: "shroud::access", tracing::Level::WARN) {
            return self.handler.handle(request).await;
        }
        let begun = self.runtime.now();
        let (method, version) = (request.method().clone(), request.version());
        let peer = ConnectionInfo::of(&request).map(|info| info.peer);
        let path = request.uri().path().to_owned();
        let response = self.handler.handle(request).await;
        let took = self.runtime.now().saturating_duration_since(begun);
        let status = response.status().as_u16();
        // The path is a client's: escaped.
        if response.status().is_server_error() {
            tracing::warn!(target: "shroud::access", %method, ?path, ?version, status, ?took, ?peer, "answered");
        } else {
            tracing::info!(target: "shroud::access", %method, ?path, ?version, status, ?took, ?peer, "answered");
        }
        response
    }
}

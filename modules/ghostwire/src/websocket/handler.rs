//! The server's side: from a request to a socket.

use super::metrics::Metrics;
use super::socket::{WebSocket, finish};
use crate::http::upgrade::{self, Upgraded};
use crate::http::{Body, Handler, Request, Response, StatusCode, refusal};
use shroud_websocket::deflate::{Codecs, Compression};
use shroud_websocket::handshake::{self, Agreed, Policy};
use shroud_websocket::{Connection, Role, Settings};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a server agrees to and allows.
#[derive(Debug, Clone)]
pub struct Options {
    /// Subprotocols, origins, compression. Default: none, the same host, [`Compression::default`].
    pub policy: Policy,
    /// Limits of each connection.
    pub settings: Settings,
    /// The compressors that connections share.
    pub codecs: Codecs,
    /// Where to count.
    pub metrics: Metrics,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy { compression: Some(Compression::default()), ..Policy::default() },
            settings: Settings::default(),
            codecs: Codecs::new(),
            metrics: Metrics::new(),
        }
    }
}

/// What is known of a connection when it opens.
#[derive(Debug)]
pub struct Opened {
    /// The request that opened it.
    pub request: Request<()>,
    /// Who sent it.
    pub peer: Option<SocketAddr>,
    /// The subprotocol agreed on.
    pub protocol: Option<String>,
    /// Whether messages may be compressed.
    pub compressed: bool,
}

/// Opens WebSocket connections and serves them by a function. Made by [`serve`].
#[derive(Debug)]
pub struct WebSocketHandler<F> {
    function: Arc<F>,
    policy: Policy,
    settings: Arc<Settings>,
    codecs: Codecs,
    metrics: Metrics,
}

/// A handler that opens WebSocket connections. For each, `function` runs in the connection's task; when it returns, a
/// connection that is still open is closed (1000, or 1001 when the node stops).
///
/// Requests that are no handshake are answered 400, 403, 405 or 426, with the reason as text.
pub fn serve<F, A>(options: Options, function: F) -> WebSocketHandler<F>
where
    F: Fn(WebSocket, Opened) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let Options { policy, settings, codecs, metrics } = options;
    WebSocketHandler { function: Arc::new(function), policy, settings: Arc::new(settings), codecs, metrics }
}

impl<F, A> WebSocketHandler<F>
where
    F: Fn(WebSocket, Opened) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    fn open(&self, request: Request<Body>) -> Response<Body> {
        // Over HTTP/2 a stream is opened by extended CONNECT (RFC 8441), and answered 200.
        let extended = upgrade::is_extended(&request);
        let (agreed, status) = if extended {
            (handshake::accept_extended(&request, &self.policy), StatusCode::OK)
        } else {
            (handshake::accept(&request, &self.policy), StatusCode::SWITCHING_PROTOCOLS)
        };
        let agreed = match agreed {
            Ok(agreed) => agreed,
            Err(reason) => {
                self.metrics.refused();
                let mut response = refusal(reason.status(), reason.to_string());
                response.headers_mut().extend(reason.headers());
                return response;
            }
        };
        if extended && !upgrade::is_extended_for(&request, "websocket") {
            self.metrics.refused();
            return refusal(StatusCode::NOT_IMPLEMENTED, "this address speaks WebSocket only");
        }
        if !http_body::Body::is_end_stream(request.body()) {
            self.metrics.refused();
            return refusal(StatusCode::BAD_REQUEST, "a WebSocket handshake has no body");
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        self.hand_over(request, agreed, &mut response);
        response
    }

    fn hand_over(&self, request: Request<Body>, agreed: Agreed, response: &mut Response<Body>) {
        let Agreed { headers, protocol, compression } = agreed;
        *response.headers_mut() = headers;
        let peer = request.body().peer();
        let opened =
            Opened { request: request.map(|_| ()), peer, protocol, compressed: compression.is_some() };
        let (function, settings) = (Arc::clone(&self.function), Arc::clone(&self.settings));
        let (codecs, metrics) = (self.codecs.clone(), self.metrics.clone());
        let takeover = move |upgraded: Upgraded| {
            let now = (upgraded.seam.now)();
            let machine = Connection::new(Role::Server, settings, compression, &codecs, now);
            let socket = WebSocket::new(machine, upgraded, Some(metrics));
            let home = socket.home();
            let served = function(socket, opened);
            let whole = async move {
                served.await;
                finish(home).await;
            };
            Box::pin(whole) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
        };
        upgrade::attach(response, Box::new(takeover));
    }
}

impl<F, A> Handler for WebSocketHandler<F>
where
    F: Fn(WebSocket, Opened) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        std::future::ready(self.open(request))
    }
}

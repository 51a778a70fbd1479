//! What a handler may know about the connection that a request came on.

use super::body::Body;
use http::Request;
use shroud_rustls::Handshake;
use std::net::SocketAddr;
use std::sync::Arc;

/// The connection that a request came on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The peer's address; behind a balancer that has said whose the connection is, that client's
    /// ([`Server::with_proxy_protocol`](super::Server::with_proxy_protocol)).
    pub peer: SocketAddr,
    /// Where it connected to: this server's address, or the balancer's when that has said so. `None` where nobody knows.
    pub local: Option<SocketAddr>,
    /// What TLS agreed on: version, server name (SNI), application protocol (ALPN), the client's verified certificate.
    /// None on a connection in the clear.
    pub tls: Option<Arc<Handshake>>,
}

impl ConnectionInfo {
    /// A connection with `peer`, with TLS or in the clear.
    #[must_use]
    pub const fn new(peer: SocketAddr, tls: Option<Arc<Handshake>>) -> Self {
        Self { peer, local: None, tls }
    }

    /// The same, connected to `local`.
    #[must_use]
    pub fn to(self, local: Option<SocketAddr>) -> Self {
        Self { local, ..self }
    }

    /// The connection that `request` came on, whatever its HTTP version ([`Request::version`] tells that): of its
    /// extensions (as an [`Arc`]), or of the body it was received with.
    #[must_use]
    pub fn of(request: &Request<Body>) -> Option<&Self> {
        match request.extensions().get::<Arc<Self>>() {
            Some(info) => Some(info),
            None => request.body().connection(),
        }
    }
}

impl From<SocketAddr> for ConnectionInfo {
    fn from(peer: SocketAddr) -> Self {
        Self::new(peer, None)
    }
}

//! What answers questions.

use shroud_dns::{Request, Response, Zones};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

/// How a question came, or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Transport {
    /// Datagrams in the clear: anybody can have written the sender's address.
    Udp,
    /// A stream in the clear.
    Tcp,
    /// DNS over TLS.
    Tls,
    /// DNS over HTTPS.
    Https,
    /// DNS over QUIC.
    Quic,
}

impl Transport {
    /// Whether nobody on the way can read along, so that padding is of use.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Quic)
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Https => "HTTPS",
            Self::Quic => "QUIC",
        })
    }
}

/// What a handler may know about where a question came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryInfo {
    /// The client's address; over UDP nobody has proven it. None where a proxy hides it.
    pub peer: Option<SocketAddr>,
    /// How it came.
    pub transport: Transport,
}

/// Answers questions, over every transport.
///
/// Cancel safety: when a client goes away, or after [`Limits::answer_time`](super::Limits::answer_time), the future of a question in
/// work is dropped at any await point.
pub trait Handler: Send + Sync + 'static {
    /// Answers one question. Failures are responses too. A panic is answered SERVFAIL.
    fn answer(&self, request: &Request, info: &QueryInfo) -> impl Future<Output = Response> + Send;
}

impl Handler for Zones {
    fn answer(&self, request: &Request, _: &QueryInfo) -> impl Future<Output = Response> + Send {
        std::future::ready(Zones::answer(self, &request.question))
    }
}

impl<H: Handler> Handler for Arc<H> {
    fn answer(&self, request: &Request, info: &QueryInfo) -> impl Future<Output = Response> + Send {
        (**self).answer(request, info)
    }
}

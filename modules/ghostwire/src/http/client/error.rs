//! Why there is no response.

use super::super::body::BodyError;
use super::super::http3_client::Http3Error;
use http::{StatusCode, Uri};
use shroud_rustls::HandshakeError;
use std::io;
use std::time::Duration;

/// A request that got no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is not one this client can reach.
    #[error("not an http:// address with a host, nor an https:// one for a client with TLS: {0}")]
    Address(Uri),
    /// The host's name did not resolve.
    #[error("looking up {host} failed")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No connection could be made.
    #[error("connecting to {host} failed: {source}")]
    Connect {
        /// Host and port.
        host: String,
        /// Why, for the last address that was tried.
        source: io::Error,
    },
    /// Every connection that may be open to the host was in use for so long ([`ClientLimits::connections`], and
    /// [`ClientLimits::connect_time`]). Nothing was sent.
    ///
    /// [`ClientLimits::connections`]: super::ClientLimits::connections
    /// [`ClientLimits::connect_time`]: super::ClientLimits::connect_time
    #[error("all {connections} connections to {host} were in use for {waited:?}")]
    Busy {
        /// Host and port.
        host: String,
        /// How many may be open.
        connections: usize,
        /// How long one was waited for.
        waited: Duration,
    },
    /// TLS could not be agreed on.
    #[error("TLS with {host} failed: {source}")]
    Tls {
        /// Host and port.
        host: String,
        /// Why.
        source: HandshakeError,
    },
    /// The proxy did not open a tunnel.
    #[error("the proxy opened no tunnel to {target} ({})", .status.as_ref().map_or("no answer of HTTP", StatusCode::as_str))]
    Proxy {
        /// Host and port of the server.
        target: String,
        /// The proxy's answer, unless that was none of HTTP.
        status: Option<StatusCode>,
    },
    /// More redirects than allowed.
    #[error("more than {0} redirects")]
    Redirects(u32),
    /// It took too long. The server may have received the request.
    #[error("no response within {0:?}")]
    TimedOut(Duration),
    /// The connection failed. The server may have received the request.
    #[error("the connection failed before the response was complete")]
    Connection(#[source] hyper::Error),
    /// HTTP/3 failed. The server may have received the request.
    #[error(transparent)]
    Http3(#[from] Http3Error),
    /// The response's body could not be read.
    #[error("reading the response failed: {0}")]
    Body(#[from] BodyError),
}

impl ClientError {
    /// The code of HTTP/2 (RFC 9113, 7) that the connection or the stream ended with, whichever side has sent it.
    #[must_use]
    pub fn http2_code(&self) -> Option<u32> {
        match self {
            Self::Connection(error) | Self::Body(BodyError::Broken(error)) => {
                http2_error(error)?.reason().map(u32::from)
            }
            _ => None,
        }
    }

    /// Whether it is known that the server has not processed the request, so that even one that is not idempotent may be sent
    /// again (RFC 9110, 9.2.2): nothing was sent, or the server has said so by REFUSED_STREAM or GOAWAY (RFC 9113, 8.7), or by
    /// H3_REQUEST_REJECTED (RFC 9114, 4.1.1).
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        match self {
            Self::Connection(error) => http2_error(error).is_some_and(|error| {
                let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
                // Streams beyond the last that it names are ended by it; the others go on.
                error.is_remote() && (refused || error.is_go_away())
            }),
            Self::Http3(error) => error.is_unprocessed(),
            Self::TimedOut(_) | Self::Body(_) | Self::Redirects(_) => false,
            _ => true,
        }
    }
}

/// What HTTP/2 says, of an error of hyper's.
fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            return Some(error);
        }
        source = cause.source();
    }
    None
}

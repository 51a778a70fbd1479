//! The opening handshake (RFC 6455 4; RFC 8441 for HTTP/2 and HTTP/3).
//!
//! [`accept`] judges a client's request and says what to answer; [`Opening`] makes a client's request and judges the
//! answer. Both work on header fields; sending them is the HTTP stack's.

mod client;
mod key;
mod server;
pub(crate) mod tokens;

pub use client::{Opening, OpeningError};
pub use key::Challenge;
pub use server::{Origins, Policy, Refusal, accept, accept_extended};

use crate::deflate::Negotiated;
use http::HeaderMap;

/// The one version of the protocol (RFC 6455 4.1).
pub const VERSION: &str = "13";

/// A handshake that both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// At a server: the fields of its response. At a client: none.
    pub headers: HeaderMap,
    /// The subprotocol.
    pub protocol: Option<String>,
    /// The compression.
    pub compression: Option<Negotiated>,
}

//! TLS by rustls over any stream of the seam.
//!
//! | file | what is inside |
//! |---|---|
//! | `provider` | the one [`provider`] of cryptography, and the seam's clock for rustls |
//! | `stream` | [`TlsStream`]: reading, writing, closing, back-pressure |
//! | `handshake` | [`accept`] and [`connect`] |
//! | `certificate` | a [`Certificate`]: chain and key, checked when they are read |
//! | `resolver` | [`Certificates`]: which one a client gets, replaced while connections go on |
//! | `server`, `client` | [`ServerOptions`], [`ClientOptions`] |
//! | `anchors` | trust anchors out of PEM, for both |
//! | `tickets` | session tickets, for all shards of a node |
//! | `dev` | certificates for development |
//! | `acme` | keys and certificates for [`shroud_acme`] |
//!
//! Nothing here takes rustls's process default: provider, clock and entropy are given. Where TLS is asked of another
//! transport (QUIC), the options build rustls's own configuration.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod acme;
mod anchors;
mod certificate;
mod client;
mod dev;
mod handshake;
mod provider;
mod resolver;
mod server;
mod stream;
mod tickets;

pub use acme::{AccountKey, AcmeKeyError, CertificateKey, ChallengeCertificate};
pub use certificate::{Certificate, CertificateError, MAX_CHAIN, MAX_PEM};
pub use client::{ClientOptions, Trust};
pub use dev::{DevCertificate, DevError, DevKey};
pub use handshake::{Failed, Handshake, HandshakeError, accept, connect};
pub use provider::{SeamClock, provider};
pub use resolver::Certificates;
pub use rustls;
pub use server::{ClientCertificates, ConfigError, ServerOptions};
pub use stream::TlsStream;

/// Names of application protocols (RFC 7301, 6).
pub mod alpn {
    /// HTTP/1.1.
    pub const HTTP_1_1: &[u8] = b"http/1.1";
    /// HTTP/2.
    pub const H2: &[u8] = b"h2";
    /// HTTP/3.
    pub const H3: &[u8] = b"h3";
    /// The proof that a name is ours (RFC 8737, 4): such a connection carries nothing.
    pub const ACME_TLS_1: &[u8] = b"acme-tls/1";
}

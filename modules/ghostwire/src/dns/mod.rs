//! DNS transport: a client and a server, each over UDP, TCP (RFC 7766), TLS (RFC 7858), HTTPS (RFC 8484) and QUIC (RFC 9250).
//!
//! | file | what is inside |
//! |---|---|
//! | `handler` | the [`Handler`] that answers, whatever the transport |
//! | `server` | [`Server`]: one handler, served over each transport within [`Limits`] |
//! | `client` | [`Client`]: one question at a time to given servers |
//! | `metrics` | what a server counts |
//!
//! What is asked, believed and refused is decided by the machines of `shroud-dns`; here are the sockets. All chance (ids,
//! source ports, letters' case) is drawn from the seam.

mod client;
mod handler;
mod limits;
mod metrics;
mod server;

pub use client::{Answered, Client, ClientError, HttpsMethod, Settings};
pub use handler::{Handler, QueryInfo, Transport};
pub use limits::Limits;
pub use metrics::Metrics;
pub use server::{Https, ServeError, Server, quic_config};
pub use shroud_dns::lookup::{LookupOptions, WhyStream, WrongAnswers};
pub use shroud_dns::{
    DNSClass, Message, Mismatch, Name, QueryOptions, Question, RData, Record, RecordType, Reply, Request,
    Response, ResponseCode, Zone, ZoneError, Zones,
};

/// The port of DNS over UDP and TCP.
pub const PORT: u16 = 53;

/// The port of DNS over TLS, and over QUIC.
pub const TLS_PORT: u16 = 853;

/// The name of DNS over TLS among application protocols (ALPN).
pub const ALPN_TLS: &[u8] = b"dot";

/// The name of DNS over QUIC among application protocols (ALPN; RFC 9250, 4.1.1).
pub const ALPN_QUIC: &[u8] = b"doq";

/// What carries DNS over HTTPS (RFC 8484, 6).
const MEDIA_TYPE: &str = "application/dns-message";

/// Reasons to end a connection or a stream of DNS over QUIC (RFC 9250, 4.3).
mod quic_code {
    use shroud_quic::VarInt;

    pub(super) const NO_ERROR: VarInt = VarInt::from_u32(0);
    pub(super) const INTERNAL_ERROR: VarInt = VarInt::from_u32(1);
    pub(super) const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
    pub(super) const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
}

//! The clients: over TCP in [`turns`], over QUIC in [`quic`].

mod http2;
mod quic;
mod simple;
mod turns;

pub use http2::Http2;
pub(super) use quic::Job;
pub use quic::{Drive, Held, hold};
pub use simple::{Http1, WebSocket};
pub use turns::{Protocol, Turns};

//! The traits that h3 asks of a QUIC library, over [`shroud_quic`].
//!
//! [`Connection`] takes a [`shroud_quic::Connection`]; give it to `h3::server` or `h3::client`. Nothing here names a runtime: h3 and
//! this are polled by whoever polls the task. What h3 leaves open is closed here: frames have a limit ([`Connection::new`]),
//! QPACK's streams are read and held to their rules, and streams that are dropped say so in codes of HTTP/3.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod connection;
mod error;
mod guard;
mod incoming;
mod qpack;
mod stream;

pub use connection::{Accepted, Connection, OpenStreams};
pub use h3;
pub use stream::{BidiStream, RecvStream, SendStream};

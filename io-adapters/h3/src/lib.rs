//! The traits that h3 asks of a QUIC library, over [`shroud_quic`].
//!
//! [`Connection`] takes an established [`shroud_quic::Connection`]; give it to `h3::server::Connection` or `h3::client`. Nothing here
//! names a runtime: h3 and this are polled by whoever polls the task.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod connection;
mod error;
mod stream;

pub use connection::{Connection, OpenStreams};
pub use h3;
pub use stream::{BidiStream, RecvStream, SendStream};

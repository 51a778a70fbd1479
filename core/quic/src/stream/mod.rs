//! Streams (RFC 9000 2): ordered bytes, one direction each.

mod recv;
mod send;

pub use recv::RecvStream;
pub use send::SendStream;

//! The WebSocket protocol (RFC 6455) with permessage-deflate (RFC 7692), as a machine without I/O, clock or chance.
//!
//! A [`Connection`] takes bytes ([`Connection::poll_event`]), messages ([`Connection::handle_send`]) and time, and gives
//! events and bytes to transmit. The handshake that comes before it is in [`handshake`]. It is a machine of our own,
//! because none of the well-kept libraries passes the bar: tungstenite 0.30 has no compression and reads and writes by
//! itself, soketto 0.8 knows one window size and no context takeover, fastwebsockets names Tokio.
//!
//! | file | what is inside |
//! |---|---|
//! | `connection` | the machine: open, closing, closed, keep-alive and time limits |
//! | `inbound` | from bytes to messages: fragments, limits, incremental UTF-8 |
//! | `outbound` | from messages to bytes: the queue, fragments, masking |
//! | `frame`, `mask`, `utf8` | the wire format's parts |
//! | `deflate` | negotiation, compressors and decompressors shared by connections |
//! | `handshake` | both sides of the opening handshake, for HTTP/1.1 and extended CONNECT (RFC 8441) |
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod close;
mod connection;
pub mod deflate;
mod error;
mod frame;
pub mod handshake;
mod inbound;
mod mask;
mod message;
mod outbound;
mod settings;
mod utf8;

pub use close::{CloseCode, CloseFrame};
pub use connection::{Connection, End, Event, Masks, Role};
pub use error::{Error, SendError};
pub use message::{Message, NotText, Text};
pub use settings::Settings;

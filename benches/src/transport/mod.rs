//! The transports under load: HTTP/1.1, HTTP/2, HTTP/3, WebSocket and QUIC, over the same server on every backend.
//!
//! | part | what is inside |
//! |---|---|
//! | [`serve`] | the server: all protocols, on whatever backend it is run |
//! | [`Served`] | a server's process: this house's or a peer's, given its identity and asked to stop over pipes |
//! | [`Identity`] | one suite, chain and key exchange for both sides and for peers |
//! | [`Workload`] | what a client does, and [`measure`], which does it and says what the server has spent |
//! | [`Turns`], [`Protocol`] | the client over TCP: one thread on epoll, a fixed turn on each connection, every answer checked |
//! | [`Drive`] | who polls the QUIC client: any backend |
//! | [`handshake_floor`] | rustls alone: what no QUIC server on it can go below |

mod addresses;
mod client;
mod floor;
mod identity;
mod process;
mod server;
mod workload;

pub use addresses::Addresses;
pub use client::{Drive, Held, Http1, Http2, Protocol, Turns, WebSocket, hold};
pub use floor::handshake_floor;
pub use identity::{Certificates, Identity, KeyExchange, NAME};
pub use process::{Served, stop_at_end_of_input};
pub use server::{BULK_BYTE, HELLO, PIECE, serve};
pub use workload::{Block, TransportError, Workload, measure};

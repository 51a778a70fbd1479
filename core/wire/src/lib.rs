//! Protocol machines: bytes in, meaning out, without I/O, clock or chance.
//!
//! | module | what is inside |
//! |---|---|
//! | [`jsonrpc`] | JSON-RPC 2.0: requests and batches out of bytes, responses into bytes |
//! | [`hex`] | the hexadecimal quantities and data of Ethereum's JSON-RPC |
//! | [`proxy_protocol`] | what balancers say about a connection before its first byte |
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

pub mod hex;
pub mod jsonrpc;
pub mod proxy_protocol;

//! JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>): requests and batches out of bytes, responses into bytes.
//!
//! [`parse`] borrows from the input: method and parameters are slices of it, and ids are echoed verbatim, so that
//! `1.0` stays `1.0`. Every limit of [`Limits`] is checked before anything is decoded further. Responses are appended
//! to a byte buffer by [`write_result`] and [`write_error`]; a batch's by a [`BatchWriter`].

mod error;
mod parse;
mod write;

pub use error::{Code, RpcError};
pub use parse::{Id, Invalid, Item, Limits, Message, Request, parse};
pub use write::{BatchWriter, Json, write_error, write_result};

#[cfg(test)]
mod tests;

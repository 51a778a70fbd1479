//! The client: HTTP/1.1 over many connections from one thread, cheap enough not to be what is measured.
//!
//! Requests are made before anything is timed and lie in one buffer per connection; a response is read in place and every one
//! is checked. [`Client::closed_loop`] keeps each connection busy and so finds the capacity; [`Client::open_loop`] sends at
//! Poisson times whatever the server does, and counts a latency from the time the request was meant to leave.

mod client;
mod connection;
mod expect;
mod response;
mod rpc;
mod work;

pub use client::{Client, LoadError, Outcome};
pub use expect::Expected;
pub(crate) use response::parse as parse_response;
pub use rpc::{Rpc, RpcFailure};
pub use work::{Lane, Work};
pub(crate) use work::{get, post};

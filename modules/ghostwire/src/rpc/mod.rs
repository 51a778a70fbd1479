//! JSON-RPC 2.0 over HTTP and WebSocket: a server's [`Methods`] behind a [`RpcHandler`] or [`over_websocket`], and a
//! [`Client`].

mod client;
mod server;
mod socket;

pub use client::{CallError, Client};
pub use server::{Methods, RpcHandler, RpcLimits};
pub use shroud_wire::jsonrpc::{Code, Json, RpcError};
pub use socket::{Behind, Subscriber, Subscriptions, over_websocket};

//! JSON-RPC 2.0 over HTTP: a server's [`Methods`] behind a [`RpcHandler`], and a [`Client`].

mod client;
mod server;

pub use client::{CallError, Client};
pub use server::{Methods, RpcHandler, RpcLimits};
pub use shroud_wire::jsonrpc::{Code, Json, RpcError};

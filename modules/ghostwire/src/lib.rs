//! Transport: the HTTP server and client, the router, and JSON-RPC over HTTP.
//!
//! Everything is generic over the seam's `Runtime`. One [`http::Handler`] type serves every HTTP version: a request
//! and its response carry a [`http::Body`] that does not tell where its bytes come from.
//!
//! | module | what is inside |
//! |---|---|
//! | [`acme`] | certificates that a server obtains and renews by itself |
//! | [`dns`] | DNS clients and servers over UDP, TCP, TLS, HTTPS and QUIC |
//! | [`http`] | [`http::Server`], [`http::Router`], [`http::Cors`], [`http::Client`], limits and metrics |
//! | [`proxy`] | a reverse proxy: load balancing, health checks, circuit breaker, retries, statistics |
//! | [`rpc`] | JSON-RPC 2.0 over HTTP: the [`rpc::Methods`] of a server, and [`rpc::Client`] |
//! | [`grpc`] | gRPC servers and clients over the same HTTP/2, with health and reflection |
//! | [`websocket`] | WebSocket servers and clients over the HTTP server's connections |
//! | [`pages`] | `/health`, `/ready`, `/metrics`, `/debug/tasks` |
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

pub mod acme;
pub mod dns;
pub mod grpc;
pub mod http;
mod in_turn;
pub mod pages;
pub mod proxy;
pub mod rpc;
pub mod websocket;

pub use shroud_rustls as tls;

//! HTTP: server, router, handlers, bodies, client, middleware, static files.
//!
//! HTTP/1.1 and HTTP/2 are spoken by hyper over the seam, on one port, with TLS or without. What hyper leaves to its
//! user is here: connection and request limits, time limits for header, body, writing and idling, one write per batch of
//! pipelined responses, refusal of ambiguous framing, lingering close, and a graceful drain.

mod body;
pub(crate) mod client;
mod cors;
mod files;
mod handler;
mod http3_client;
mod info;
mod limits;
mod metrics;
mod middleware;
pub(crate) mod network;
mod response;
mod router;
mod server;
pub(crate) mod upgrade;

pub use body::{Body, BodyError};
pub(crate) use client::Opened;
pub use client::{
    Alternatives, Client, ClientError, ClientLimits, Cookies, InvalidAlternatives, Proxy, UseHttp3, cookies,
};
pub use cors::Cors;
pub use files::{FileOptions, Files};
pub use handler::{Handler, HandlerFn, handler_fn};
pub use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
};
pub use http3_client::{Http3Client, Http3Error};
pub use info::ConnectionInfo;
pub use limits::{Http2Limits, InvalidLimits, Limits};
pub use metrics::{LATENCY_BUCKETS, Metrics};
pub use middleware::{
    Bearer, Compressed, Logged, RateLimited, RateLimitedBy, SecurityHeaders, SecurityOptions, TimeLimited,
};
pub use network::Network;
pub use response::{json, refusal, status, text};
pub use router::Router;
pub use server::{OnePort, Port, PortError, ServeError, Server, Tls};

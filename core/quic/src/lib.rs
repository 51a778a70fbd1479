//! QUIC v1 (RFC 9000, 9001, 9002) over the seam: quinn-proto, a machine already, driven by one endpoint per shard.
//!
//! | module | what is inside |
//! |---|---|
//! | [`Endpoint`] | binds a socket, accepts and makes connections |
//! | [`Group`] | endpoints of several shards on one address: a migrated packet finds its shard |
//! | [`Connecting`], [`Connection`] | the handshake, early data, streams, datagrams (RFC 9221), closing |
//! | [`SendStream`], [`RecvStream`] | ordered bytes with back-pressure, in pieces or without copies |
//! | [`ConnectionPool`] | a client's connections, by server, used again |
//! | [`ServerConfig`], [`ClientConfig`], [`Transport`], [`EndpointConfig`] | documented defaults, validated |
//!
//! # How it is built for speed
//! One task per endpoint touches the socket. It takes datagrams in batches (coalesced by the kernel where it can), feeds
//! the connections, and sends in trains (cut by the kernel where it can). The application's tasks work on a connection under
//! that connection's own short lock and leave it on the endpoint's queue when something has to go out: on a per-core backend
//! no lock is ever contended and no wake leaves the thread; on a work-stealing one bind as many endpoints as there are
//! workers, as members of one [`Group`].
//!
//! # What a datagram from a stranger can cost
//! First packets beyond [`Limits::half_open`] are dropped; beyond [`Limits::half_open_free`] their senders must prove their
//! address first, which keeps no state. Before an address is proven, at most three times what came from it is sent to it (RFC
//! 9000 8.1), and the rest of the datagram in which that is reached. Packets for no connection are answered by at most one stateless reset in 20 ms.
//!
//! # Chance
//! Connection ids, tokens, keys of resets and the machine's own generator are drawn from the seam. TLS keys come from the
//! crypto provider of the TLS configuration given: a simulation that is to repeat bit for bit gives one with a seed.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod backlog;
mod cell;
mod config;
mod congestion;
mod connecting;
mod connection;
mod connection_id;
mod driver;
mod endpoint;
mod entropy;
mod error;
mod group;
mod pool;
mod secrets;
mod shard;
mod stream;
mod tokens;

pub use config::{
    ClientConfig, Congestion, EndpointConfig, InvalidConfig, Limits, Retry, ServerConfig, Transport,
};
pub use connecting::{Connecting, EarlyData};
pub use connection::{Connection, Waiting};
pub use endpoint::{BindError, Endpoint};
pub use error::{ConnectError, ConnectionError, DatagramError, ReadError, WriteError};
pub use group::{Group, MAX_MEMBERS, Member};
pub use pool::{ConnectionPool, PoolConnectError, PoolLimits};
pub use quinn_proto::{ConnectionStats, Dir, Side, StreamId, TransportErrorCode, VarInt};
pub use secrets::{SECRET_LENGTH, Secrets};
pub use shard::EndpointStats;
pub use stream::{RecvStream, SendStream};

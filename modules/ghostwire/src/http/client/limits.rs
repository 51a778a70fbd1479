//! How long a client waits, and how much it takes and keeps.

use std::time::Duration;

/// A client's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// For resolving a host and connecting to it. Default 10 s.
    pub connect_time: Duration,
    /// For a whole exchange, connecting and redirects included; of [`Client::fetch`](super::Client::fetch), up to the
    /// response's body. Default 30 s.
    pub request_time: Duration,
    /// How long the next piece of a body may take. Default 30 s.
    pub read_time: Duration,
    /// Bytes of a response's body. Default 16 MiB.
    pub body_bytes: u64,
    /// Bytes of a response's header. Default 64 KiB.
    pub header_bytes: usize,
    /// Bytes that are read at a time over HTTP/1.1: of a body that is taken slowly, two such pieces wait. A little less than a
    /// power of two from 8 KiB on wastes the least memory; more costs fewer reads. Zero counts as one. Default 64 KiB.
    pub read_bytes: usize,
    /// Connections to each host at a time, those in use and idle ones; one that has left HTTP (WebSocket) is not counted. A
    /// request beyond them waits until one is free, for `connect_time` at most, and then fails with
    /// [`ClientError::Busy`](super::ClientError::Busy). Requests that share a connection of HTTP/2 do not wait; HTTP/3 uses
    /// one for each server. Zero counts as one. Default 1024.
    pub connections: usize,
    /// Idle connections kept for each host. Default 32.
    pub idle_connections: usize,
    /// How long an idle connection is kept, then it is closed: shorter than servers keep theirs. Default 30 s.
    pub idle_time: Duration,
    /// Requests that may be repeated after a failure, for a hundred that are sent: so that a client does not drown servers
    /// that fail already. Default 10.
    pub retry_percent: u32,
    /// So many more at first, and again after enough requests without a failure. Zero: nothing is repeated, whatever
    /// `retry_percent` says. Default 10.
    pub retry_reserve: u32,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect_time: Duration::from_secs(10),
            request_time: Duration::from_secs(30),
            read_time: Duration::from_secs(30),
            body_bytes: 16 * 1024 * 1024,
            header_bytes: 64 * 1024,
            read_bytes: 64 * 1024,
            connections: 1024,
            idle_connections: 32,
            idle_time: Duration::from_secs(30),
            retry_percent: 10,
            retry_reserve: 10,
        }
    }
}

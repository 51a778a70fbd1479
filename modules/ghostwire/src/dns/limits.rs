//! How much a server does for its clients.

use std::time::Duration;

/// A server's limits, each for one call of a `serve_*`. A request has at most 4,096 bytes
/// ([`shroud_dns::request::MAX_REQUEST`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest answer over UDP, in bytes, whatever the client says it takes; longer ones are truncated (TC). At least 512.
    /// Default 1232, which is not fragmented anywhere and amplifies little.
    pub udp_payload: u16,
    /// Questions over UDP in work at a time. Of further datagrams 1,024 wait, and of senders (an IPv4 address, 64 bits of IPv6) of whom none waits 1,024 more; the rest
    /// stays in the kernel or is dropped. Default 1,024.
    pub udp_in_work: usize,
    /// Connections at a time; further ones are closed. Default 1,000.
    pub connections: usize,
    /// Questions of one connection in work at a time; further ones are not read yet. Default 64.
    pub in_work: usize,
    /// How long the handler may take for a question: SERVFAIL beyond. Default 10 s.
    pub answer_time: Duration,
    /// From a request's first byte to its last, and for a TLS handshake. Default 10 s.
    pub request_time: Duration,
    /// How long a client may take nothing of its answers before its connection is dropped. Default 10 s.
    pub write_time: Duration,
    /// How long a connection may stay open without a question. Default 30 s.
    pub idle_time: Duration,
    /// How long questions in work may go on once the node is asked to stop. Default 5 s.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            udp_payload: shroud_dns::UDP_PAYLOAD,
            udp_in_work: 1024,
            connections: 1000,
            in_work: 64,
            answer_time: Duration::from_secs(10),
            request_time: Duration::from_secs(10),
            write_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(5),
        }
    }
}

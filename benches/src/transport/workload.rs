//! What a client does, and what the server spends meanwhile.

use super::client::Job;
use super::{Addresses, Drive, Http1, Http2, Identity, Protocol, Served, Turns, WebSocket};
use crate::load::Outcome;
use crate::proc::{Process, UsageDelta};
use std::net::SocketAddr;
use std::time::Duration;

/// What a client does, as long as it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// GETs of thirteen bytes over HTTP/1.1. An operation is a request.
    Http1 {
        /// Each with one request at a time.
        connections: usize,
    },
    /// GETs of thirteen bytes over HTTP/2 in the clear. An operation is a request.
    Http2 {
        /// Connections.
        connections: usize,
        /// Requests that go out together on each.
        streams: usize,
    },
    /// GETs of thirteen bytes over HTTP/3. An operation is a request.
    Http3 {
        /// Connections.
        connections: usize,
        /// Requests under way on each.
        streams: usize,
    },
    /// Echoed binary messages. An operation is a message.
    WebSocket {
        /// Connections.
        connections: usize,
        /// Bytes of a message.
        bytes: usize,
        /// Messages that go out together.
        batch: usize,
    },
    /// QUIC handshakes, each closed when the server's tickets have come: both sides are done then. An operation is a handshake.
    Handshake {
        /// Under way at a time.
        lanes: usize,
        /// With a ticket of the connection before, and no certificate.
        resumed: bool,
    },
    /// Bytes over QUIC streams, over and over until the time is up, at least once. An operation is a megabyte (10^6 bytes).
    Bulk {
        /// Megabytes of a transfer, over all streams.
        megabytes: u64,
        /// Streams at a time, each with its share.
        streams: usize,
        /// To the server, rather than from it.
        up: bool,
    },
}

/// A stretch of a workload.
#[derive(Debug, Clone)]
pub struct Block {
    /// What came of it. The latency is of an operation; of bulk, of a stream's share.
    pub outcome: Outcome,
    /// What the server spent.
    pub used: UsageDelta,
}

impl Block {
    /// Server CPU of an operation, in microseconds.
    #[must_use]
    pub fn cpu_us(&self) -> f64 {
        self.used.cpu_nanos as f64 / 1e3 / self.outcome.operations.max(1) as f64
    }

    /// Operations a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.outcome.operations as f64 / self.outcome.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Why a workload broke off: a wrong answer, none, or a broken connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(pub(super) String);

impl From<String> for TransportError {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

/// Warms up, then does the workload in blocks of these lengths over the same connections, from the calling thread.
///
/// # Errors
/// [`TransportError`]; every answer is checked.
pub fn measure(
    client: &dyn Drive,
    workload: Workload,
    served: &Served,
    identity: &Identity,
    warm_up: Duration,
    lengths: &[Duration],
) -> Result<Vec<Block>, TransportError> {
    let Served { addresses, process, .. } = served;
    let tcp = addresses.tcp;
    let times = Times { process, warm_up, lengths };
    match workload {
        Workload::Http1 { connections } => times.turns(Http1, tcp, connections),
        Workload::Http2 { connections, streams } => times.turns(Http2::new(streams), tcp, connections),
        Workload::WebSocket { connections, bytes, batch } => {
            times.turns(WebSocket::new(bytes, batch), tcp, connections)
        }
        Workload::Http3 { .. } | Workload::Handshake { .. } | Workload::Bulk { .. } => {
            let job = Job::new(workload, *addresses, identity, process.clone(), warm_up, lengths.to_vec());
            client.drive(job.map_err(|error| TransportError(error.to_string()))?)
        }
    }
}

struct Times<'a> {
    process: &'a Process,
    warm_up: Duration,
    lengths: &'a [Duration],
}

impl Times<'_> {
    fn turns<P: Protocol>(
        &self,
        protocol: P,
        address: SocketAddr,
        connections: usize,
    ) -> Result<Vec<Block>, TransportError> {
        let mut turns = Turns::new(protocol, address).map_err(|error| error.to_string())?;
        turns.grow(connections)?;
        turns.run(self.warm_up)?;
        let mut blocks = Vec::new();
        for length in self.lengths {
            let before = self.process.usage().map_err(|error| error.to_string())?;
            let outcome = turns.run(*length)?;
            let after = self.process.usage().map_err(|error| error.to_string())?;
            blocks.push(Block { outcome, used: self.process.between(&before, &after) });
        }
        Ok(blocks)
    }
}

impl Addresses {
    /// Where a workload over QUIC goes.
    pub(super) const fn of(&self, workload: Workload) -> SocketAddr {
        match workload {
            Workload::Http3 { .. } => self.http3,
            _ => self.quic,
        }
    }
}

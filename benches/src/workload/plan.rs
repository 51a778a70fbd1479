//! Which phases a run has, and how large they are.

use crate::transport::Workload;
use serde::{Deserialize, Serialize};

/// Connections of a closed loop: enough for a batch to fill while the one before it is synced.
pub const CLOSED_CONNECTIONS: usize = 128;
/// Connections of an open loop: more than are ever busy below capacity, so that an arrival finds one free.
pub const OPEN_CONNECTIONS: usize = 256;

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `shroud_sendTransaction` of a transfer signed with Ed25519, answered when durable.
    Transfer,
    /// `eth_sendRawTransaction` of an EIP-1559 transfer, answered when durable.
    Ethereum,
    /// `shroud_sendTransaction` of a call that adds one to a counter, answered when durable.
    Contract,
    /// `eth_getBalance`.
    Read,
    /// A GET of thirteen fixed bytes over HTTP/1.1: what HTTP alone costs.
    Plain,
    /// The same over HTTP/2 in the clear, eight requests at a time on each connection.
    Http2,
    /// The same over HTTP/3.
    Http3,
    /// A binary message of 64 bytes, echoed.
    WebSocket,
    /// A full QUIC handshake (X25519, ECDSA P-256) to the server's tickets, then closed.
    Handshake,
    /// A megabyte (10^6 bytes) from the server over one QUIC stream.
    Bulk,
}

impl Kind {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 10] = [
        Self::Transfer,
        Self::Ethereum,
        Self::Contract,
        Self::Read,
        Self::Plain,
        Self::Http2,
        Self::Http3,
        Self::WebSocket,
        Self::Handshake,
        Self::Bulk,
    ];

    /// What a node is made to do.
    pub const NODE: [Self; 5] = [Self::Transfer, Self::Ethereum, Self::Contract, Self::Read, Self::Plain];

    /// What a server of transports alone is made to do.
    pub const TRANSPORT: [Self; 5] = [Self::Http2, Self::Http3, Self::WebSocket, Self::Handshake, Self::Bulk];

    /// The name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "native transfer",
            Self::Ethereum => "ethereum transfer",
            Self::Contract => "contract call",
            Self::Read => "balance read",
            Self::Plain => "HTTP/1.1 GET",
            Self::Http2 => "HTTP/2 GET",
            Self::Http3 => "HTTP/3 GET",
            Self::WebSocket => "WebSocket echo",
            Self::Handshake => "QUIC handshake",
            Self::Bulk => "QUIC bulk megabyte",
        }
    }

    /// How a server of transports is made to do it; nothing for what a node does.
    pub(crate) const fn transport(self) -> Option<Workload> {
        Some(match self {
            Self::Http2 => Workload::Http2 { connections: 16, streams: 8 },
            Self::Http3 => Workload::Http3 { connections: 8, streams: 8 },
            Self::WebSocket => Workload::WebSocket { connections: 32, bytes: 64, batch: 1 },
            Self::Handshake => Workload::Handshake { lanes: 8, resumed: false },
            Self::Bulk => Workload::Bulk { megabytes: 8, streams: 1, up: false },
            Self::Transfer | Self::Ethereum | Self::Contract | Self::Read | Self::Plain => return None,
        })
    }

    /// Whether it changes the state, and so is answered only after a sync.
    #[must_use]
    pub const fn durable(self) -> bool {
        matches!(self, Self::Transfer | Self::Ethereum | Self::Contract)
    }
}

/// What a phase is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Not measured.
    WarmUp,
    /// Closed loop: how much, at which cost.
    Capacity,
    /// Open loop at this percentage of the capacity measured before: how long it takes.
    Latency {
        /// Percent of capacity.
        percent: u32,
    },
}

/// One phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhasePlan {
    /// The workload.
    pub kind: Kind,
    /// What it is for.
    pub purpose: Purpose,
    /// How many requests, rounded up to a multiple of the connections.
    pub operations: usize,
}

/// The phases of a run, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In order.
    pub phases: Vec<PhasePlan>,
}

/// How long phases should take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lengths {
    pub(crate) warm_up: f64,
    pub(crate) blocks: usize,
    pub(crate) block: f64,
    pub(crate) latency_percents: &'static [u32],
    pub(crate) latency_durable: f64,
    pub(crate) latency_read: f64,
    /// Warm-up of each transport, and its blocks (as many as `blocks`).
    pub(crate) transport_warm_up: f64,
    pub(crate) transport_block: f64,
}

impl PhasePlan {
    /// Connections that the phase uses.
    #[must_use]
    pub const fn connections(&self) -> usize {
        match self.purpose {
            Purpose::Latency { .. } => OPEN_CONNECTIONS,
            Purpose::WarmUp | Purpose::Capacity => CLOSED_CONNECTIONS,
        }
    }
}

impl Plan {
    /// A short run that only shows how fast the machine is.
    pub(crate) fn calibration() -> Self {
        let phase = |(kind, operations): (Kind, usize)| {
            let half = PhasePlan { kind, purpose: Purpose::WarmUp, operations: operations / 2 };
            [half, PhasePlan { kind, purpose: Purpose::Capacity, operations }]
        };
        let sizes = [
            (Kind::Transfer, 2_500),
            (Kind::Ethereum, 2_000),
            (Kind::Contract, 2_000),
            (Kind::Read, 5_000),
            (Kind::Plain, 8_000),
        ];
        Self { phases: sizes.into_iter().flat_map(phase).collect() }
    }

    /// Phases of these lengths on a machine with these capacities (operations a second).
    pub(crate) fn measured(lengths: &Lengths, capacity: impl Fn(Kind) -> f64) -> Self {
        let count = |kind: Kind, seconds: f64| ((capacity(kind) * seconds) as usize).max(1);
        let mut phases = Vec::new();
        for kind in Kind::NODE {
            let operations = count(kind, lengths.warm_up / Kind::NODE.len() as f64);
            phases.push(PhasePlan { kind, purpose: Purpose::WarmUp, operations });
        }
        // Blocks of the workloads alternate, so that a slow moment of the machine is shared by all.
        for _ in 0..lengths.blocks {
            for kind in Kind::NODE {
                phases.push(PhasePlan {
                    kind,
                    purpose: Purpose::Capacity,
                    operations: count(kind, lengths.block),
                });
            }
        }
        for &percent in lengths.latency_percents {
            for (kind, seconds) in
                [(Kind::Transfer, lengths.latency_durable), (Kind::Read, lengths.latency_read)]
            {
                let operations = count(kind, seconds * f64::from(percent) / 100.0);
                phases.push(PhasePlan { kind, purpose: Purpose::Latency { percent }, operations });
            }
        }
        Self { phases }
    }

    /// Durable native transfers only, for the run on all cores.
    pub(crate) fn transfers(warm_up: usize, operations: usize) -> Self {
        let phase = |purpose, operations| PhasePlan { kind: Kind::Transfer, purpose, operations };
        Self { phases: vec![phase(Purpose::WarmUp, warm_up), phase(Purpose::Capacity, operations)] }
    }
}

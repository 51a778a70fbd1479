//! `shroud-bench quic`, `http2`, `http3` and `websocket`.

use crate::peers::{FASTWEBSOCKETS, H3_QUINN, HYPER, QUINN};
use crate::versus::{Case, Versus};
use clap::{Args, ValueEnum};
use shroud_bench::transport::{Identity, KeyExchange, Workload, handshake_floor};
use std::error::Error;
use std::time::Duration;

/// How long the floor of a handshake is measured.
const FLOOR: Duration = Duration::from_secs(1);

/// Server CPU of QUIC handshakes and bulk transfers, against quinn with the same suite and chain, and beside rustls alone
#[derive(Debug, Args)]
pub(crate) struct Quic {
    /// Only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// The hybrid key exchange X25519MLKEM768 instead of X25519
    #[arg(long)]
    post_quantum: bool,
    /// Handshakes under way at a time
    #[arg(long, default_value_t = 8)]
    lanes: usize,
    /// Megabytes (10^6 bytes) of a bulk transfer
    #[arg(long, default_value_t = 1_000)]
    megabytes: u64,
    #[command(flatten)]
    versus: Versus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Full handshakes
    Full,
    /// Resumed handshakes
    Resumed,
    /// Bulk from the server, over one stream and over a hundred
    Down,
    /// Bulk to the server, over one stream and over a hundred
    Up,
}

impl Quic {
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        let exchange = if self.post_quantum { KeyExchange::X25519MlKem768 } else { KeyExchange::X25519 };
        let identity = &Identity::generate(exchange)?;
        let mut cases = Vec::new();
        let parts = if self.only.is_empty() { Part::value_variants() } else { &self.only };
        for part in parts {
            match part {
                Part::Full | Part::Resumed => {
                    let resumed = *part == Part::Resumed;
                    cases.push(Case {
                        title: format!(
                            "{} QUIC handshake, {exchange:?}, {} at a time",
                            if resumed { "resumed" } else { "full" },
                            self.lanes
                        ),
                        peer: QUINN,
                        workload: Workload::Handshake { lanes: self.lanes, resumed },
                        identity,
                        floor: Some(handshake_floor(identity, resumed, FLOOR)?),
                    });
                }
                Part::Down | Part::Up => {
                    let up = *part == Part::Up;
                    cases.extend([1, 100].map(|streams| Case {
                        title: format!(
                            "QUIC bulk megabyte {} the server, {} megabytes over {streams} stream{}",
                            if up { "to" } else { "from" },
                            self.megabytes,
                            if streams == 1 { "" } else { "s" }
                        ),
                        peer: QUINN,
                        workload: Workload::Bulk { megabytes: self.megabytes, streams, up },
                        identity,
                        floor: None,
                    }));
                }
            }
        }
        self.versus.run(&cases)
    }
}

/// Server CPU of an HTTP/2 request, against hyper's own server on Tokio
#[derive(Debug, Args)]
pub(crate) struct Http2 {
    /// Connections
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Requests that go out together on each
    #[arg(long, default_value_t = 8)]
    streams: usize,
    #[command(flatten)]
    versus: Versus,
}

impl Http2 {
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        let Self { connections, streams, .. } = *self;
        self.versus.run(&[Case {
            title: format!("HTTP/2 GET, {connections} connections, {streams} at a time"),
            peer: HYPER,
            workload: Workload::Http2 { connections, streams },
            identity: &Identity::generate(KeyExchange::X25519)?,
            floor: None,
        }])
    }
}

/// Server CPU of an HTTP/3 request, against h3 over quinn on Tokio
#[derive(Debug, Args)]
pub(crate) struct Http3 {
    /// Connections
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests under way on each
    #[arg(long, default_value_t = 8)]
    streams: usize,
    #[command(flatten)]
    versus: Versus,
}

impl Http3 {
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        let Self { connections, streams, .. } = *self;
        self.versus.run(&[Case {
            title: format!("HTTP/3 GET, {connections} connections, {streams} at a time"),
            peer: H3_QUINN,
            workload: Workload::Http3 { connections, streams },
            identity: &Identity::generate(KeyExchange::X25519)?,
            floor: None,
        }])
    }
}

/// Server CPU of an echoed WebSocket message, against fastwebsockets
#[derive(Debug, Args)]
pub(crate) struct Websocket {
    /// Connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Bytes of a message
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Messages that a connection sends before it reads the echoes: 1 is unbatched
    #[arg(long, default_value_t = 1)]
    batch: usize,
    #[command(flatten)]
    versus: Versus,
}

impl Websocket {
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        let Self { connections, bytes, batch, .. } = *self;
        self.versus.run(&[Case {
            title: format!("WebSocket echo of {bytes} bytes, {connections} connections, {batch} at a time"),
            peer: FASTWEBSOCKETS,
            workload: Workload::WebSocket { connections, bytes, batch },
            identity: &Identity::generate(KeyExchange::X25519)?,
            floor: None,
        }])
    }
}

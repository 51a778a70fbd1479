//! `shroud-bench connections`.

use crate::child::processors;
use crate::peers::{FASTWEBSOCKETS, HYPER, QUINN};
use crate::versus::{arms, start};
use clap::{Args, ValueEnum};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use shroud::backends::tokio::TokioPerCore;
use shroud_bench::affinity;
use shroud_bench::stats::{Slope, slope};
use shroud_bench::transport::{
    Drive, Held, Http1, Http2, Identity, KeyExchange, Protocol, Served, Turns, WebSocket,
};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// Points of the line, the last of which is all connections.
const POINTS: usize = 4;
/// After the last answer, until buffers that empty themselves have done so.
const SETTLE: Duration = Duration::from_millis(300);
/// Descriptors that a process needs besides those of connections.
const OTHER_DESCRIPTORS: u64 = 100;

/// Hold many connections on each backend, serve every one of them, and see what an idle one takes
#[derive(Debug, Args)]
pub(crate) struct Connections {
    /// How many
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Only these protocols
    #[arg(long, value_enum, value_delimiter = ',')]
    protocols: Vec<Kind>,
    /// Only these backends
    #[arg(long, value_delimiter = ',')]
    backends: Vec<String>,
    /// Leave the peers out
    #[arg(long)]
    no_peers: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Http1,
    Http2,
    Websocket,
    Quic,
}

impl Kind {
    const fn peer(self) -> Option<&'static str> {
        match self {
            Self::Http1 => None,
            Self::Http2 => Some(HYPER),
            Self::Websocket => Some(FASTWEBSOCKETS),
            Self::Quic => Some(QUINN),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Websocket => "WebSocket",
            Self::Quic => "QUIC",
        }
    }
}

/// What connections need.
struct Needs {
    /// How many were held, and each served.
    connections: usize,
    /// User memory of one more.
    user: Slope,
    /// The kernel's small objects for both ends of one more.
    kernel: Slope,
}

struct Row {
    kind: Kind,
    arm: String,
    /// What was held, or why not.
    held: Result<Needs, String>,
}

impl Connections {
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        raise_descriptor_limit(self.connections)?;
        let identity = Arc::new(Identity::generate(KeyExchange::X25519)?);
        let backends = arms(&self.backends);
        let kinds = if self.protocols.is_empty() { Kind::value_variants() } else { &self.protocols };
        let mut rows = Vec::new();
        if !self.json {
            heading();
        }
        for &kind in kinds {
            let peer = kind.peer().filter(|_| !self.no_peers).map(str::to_owned);
            for arm in backends.iter().cloned().chain(peer) {
                eprintln!("{} on {arm}", kind.name());
                let held = self.hold(kind, &arm, &identity).map_err(|error| error.to_string());
                let row = Row { kind, arm, held };
                if !self.json {
                    print(&row);
                }
                rows.push(row);
            }
        }
        let failed: Vec<String> = rows
            .iter()
            .filter_map(|row| {
                let error = row.held.as_ref().err()?;
                Some(format!("{} on {}: {error}", row.kind.name(), row.arm))
            })
            .collect();
        if self.json {
            let rows: Vec<_> = rows
                .iter()
                .map(|row| {
                    let (held, error) = (row.held.as_ref().ok(), row.held.as_ref().err());
                    json!({
                        "protocol": row.kind.name(), "arm": row.arm, "error": error,
                        "served": held.map(|needs| needs.connections),
                        "user": held.map(|needs| needs.user), "kernel_both_ends": held.map(|needs| needs.kernel),
                    })
                })
                .collect();
            println!("{:#}", json!({ "connections": self.connections, "rows": rows }));
        }
        if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
    }

    fn hold(&self, kind: Kind, arm: &str, identity: &Arc<Identity>) -> Result<Needs, Box<dyn Error>> {
        let (server_cpus, client_cpus) = processors();
        let served = start(arm, &server_cpus, identity)?;
        let _pinned = if client_cpus.is_empty() { None } else { Some(affinity::pin(&client_cpus)?) };
        let numbers: Vec<usize> = (1..=POINTS).map(|point| self.connections * point / POINTS).collect();
        let held = match kind {
            Kind::Http1 => turns(Http1, &served, &numbers)?,
            Kind::Http2 => turns(Http2::new(1), &served, &numbers)?,
            Kind::Websocket => turns(WebSocket::new(64, 1), &served, &numbers)?,
            Kind::Quic => TokioPerCore.hold(served.addresses.quic, identity, &served.process, &numbers)?,
        };
        let line = |value: fn(&Held) -> u64| {
            let points: Vec<(f64, f64)> =
                held.iter().map(|held| (held.connections as f64, value(held) as f64)).collect();
            slope(&points).ok_or("no line through the points")
        };
        Ok(Needs {
            connections: held.iter().map(|held| held.connections).max().unwrap_or(0),
            user: line(|held| held.memory.pss)?,
            kernel: line(|held| held.slab)?,
        })
    }
}

/// At each number, every connection that is open is served once more.
fn turns<P: Protocol>(protocol: P, served: &Served, numbers: &[usize]) -> Result<Vec<Held>, Box<dyn Error>> {
    let (mut turns, mut held) = (Turns::new(protocol, served.addresses.tcp)?, Vec::new());
    for &number in numbers {
        turns.grow(number)?;
        let answered = turns.once()?.operations;
        if answered != number as u64 {
            return Err(format!("{answered} of {number} were served").into());
        }
        std::thread::sleep(SETTLE);
        held.push(Held::read(number, &served.process)?);
    }
    Ok(held)
}

/// As far as the system lets it; server and client have a process each.
fn raise_descriptor_limit(connections: usize) -> Result<(), Box<dyn Error>> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let needed = connections as u64 + OTHER_DESCRIPTORS;
    match limit.maximum {
        Some(most) if most < needed => Err(format!(
            "{connections} connections need {needed} descriptors in a process, and the limit is {most}: \
             raise it (`ulimit -n`), or hold fewer (--connections)"
        )
        .into()),
        _ => Ok(()),
    }
}

fn heading() {
    println!(
        "connections held, each served at every step without an error; bytes of one more that idles: user memory (PSS) of the server, \
         and the kernel's slab for both ends, which other work on the machine moves too"
    );
    println!(
        "{:<11}{:<16}{:>8}{:>10}{:>9}{:>10}{:>9}",
        "protocol", "server", "held", "user", "R2", "kernel", "R2"
    );
}

fn print(Row { kind, arm, held }: &Row) {
    let kind = kind.name();
    match held {
        Ok(Needs { connections, user, kernel }) => println!(
            "{kind:<11}{arm:<16}{connections:>8}{:>10.0}{:>9.4}{:>10.0}{:>9.4}",
            user.slope, user.r_squared, kernel.slope, kernel.r_squared
        ),
        Err(error) => println!("{kind:<11}{arm:<16}  failed: {error}"),
    }
}

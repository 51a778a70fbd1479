//! `shroud-bench-quic`: what one core of a QUIC server spends, on Tokio and on io_uring, beside quinn with the same suite and
//! chain, and beside rustls alone.
//!
//! - `handshakes`: full (or resumed) handshakes, one after the other on several lanes.
//! - `bulk`: bytes to the server and from it, on one stream or many.
//! - `requests`: small HTTP/3 requests on a few connections.
//!
//! The server is one thread on one processor, the client another; the client is the same for all. CPU is the server
//! thread's own.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a failed measurement ends the program")]

mod client;
mod floor;
mod serve;
mod tls;

use clap::{Parser, Subcommand};
use serve::{Arm, Job};
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(name = "shroud-bench-quic", about = "What one core of a QUIC server spends")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Rounds, each with every arm, in turn
    #[arg(long, default_value_t = 3, global = true)]
    rounds: usize,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Server CPU of a handshake
    Handshakes {
        #[arg(long, default_value_t = 1000)]
        count: usize,
        /// With tickets of an earlier connection
        #[arg(long)]
        resumed: bool,
        /// With the hybrid key exchange X25519MLKEM768 instead of X25519
        #[arg(long)]
        post_quantum: bool,
    },
    /// Gigabits a second that one core of a server could take and give
    Bulk {
        #[arg(long, default_value_t = 512)]
        megabytes: usize,
        #[arg(long, default_value_t = 1)]
        streams: usize,
    },
    /// Server CPU of a small HTTP/3 request
    Requests {
        #[arg(long, default_value_t = 20_000)]
        count: usize,
        #[arg(long, default_value_t = 4)]
        connections: usize,
        /// Requests under way on each connection
        #[arg(long, default_value_t = 16)]
        depth: usize,
    },
}

fn main() {
    let Arguments { command, rounds } = Arguments::parse();
    let identity = tls::Identity::generate(matches!(command, Command::Handshakes { post_quantum: true, .. }));
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    let mut note = |name: String, value: f64| match rows.iter_mut().find(|(known, _)| *known == name) {
        Some((_, values)) => values.push(value),
        None => rows.push((name, vec![value])),
    };
    let mut unit = "µs of server CPU";
    for round in 0..rounds {
        let mut arms = Arm::ALL;
        arms.rotate_left(round % Arm::ALL.len());
        match command {
            Command::Handshakes { count, resumed, .. } => {
                note("rustls alone".to_owned(), micros(floor::handshakes(&identity, count, resumed), count));
                for arm in arms {
                    let cpu = serve::measure(arm, &identity, Job::Handshakes { count, resumed });
                    note(arm.to_string(), micros(cpu, count));
                }
            }
            Command::Bulk { megabytes, streams } => {
                unit = "Gbit/s per server core";
                let gigabits = megabytes as f64 * 8.0 / 1000.0;
                for arm in arms {
                    for up in [true, false] {
                        let job = Job::Bulk { bytes: megabytes * 1_000_000, streams, up };
                        let cpu = serve::measure(arm, &identity, job);
                        let direction = if up { "receives" } else { "sends" };
                        note(format!("{arm} {direction}"), gigabits / cpu.as_secs_f64());
                    }
                }
            }
            Command::Requests { count, connections, depth } => {
                for arm in arms {
                    let cpu = serve::measure(arm, &identity, Job::Requests { count, connections, depth });
                    note(arm.to_string(), micros(cpu, count));
                }
            }
        }
    }
    println!("{:<28}{:>10}  all rounds: {unit}", "", "median");
    for (name, mut values) in rows {
        values.sort_by(f64::total_cmp);
        let all: Vec<String> = values.iter().map(|value| format!("{value:.1}")).collect();
        println!("{name:<28}{:>10.1}  {}", values[values.len() / 2], all.join(" "));
    }
}

fn micros(cpu: Duration, count: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / count as f64
}

//! `shroud-bench`: what the seam costs, what idling takes, and what nothing can go below.
//!
//! - `seam`: the same hyper server over the seam and written directly on each runtime's own API, in ABBA blocks.
//! - `idle`: memory of an idle task and of an idle HTTP connection on each backend, as a slope over several sizes.
//! - `quic`, `http2`, `http3`, `websocket`: each transport on every backend against its peer on Tokio, in ABBA blocks.
//! - `connections`: ten thousand connections held and served, and what an idle one takes.
//! - `floors`: loopback, signatures, sync and the contract engine.
#![forbid(unsafe_code)]

mod arms;
mod child;
mod connections;
mod idle;
mod peers;
mod seam;
mod transports;
mod versus;

use clap::{Parser, Subcommand};
use shroud_bench::floors;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(
    name = "shroud-bench",
    version,
    about = "What the seam costs, and what idling takes",
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Server CPU of an HTTP request over the seam, against the same hyper server on each runtime's own API
    Seam(seam::Seam),
    /// Memory of an idle task and of an idle connection on each backend
    Idle(idle::Idle),
    /// Server CPU of QUIC handshakes and bulk transfers, against quinn and beside rustls alone
    Quic(transports::Quic),
    /// Server CPU of an HTTP/2 request, against hyper's own server on Tokio
    Http2(transports::Http2),
    /// Server CPU of an HTTP/3 request, against h3 over quinn on Tokio
    Http3(transports::Http3),
    /// Server CPU of an echoed WebSocket message, against fastwebsockets
    Websocket(transports::Websocket),
    /// Hold ten thousand connections on each backend, serve every one, and see what an idle one takes
    Connections(connections::Connections),
    /// Loopback, signatures, sync and the contract engine on this machine
    Floors,
    /// Serve "Hello, world!" on one arm until killed (started by `seam` and `idle`)
    #[command(hide = true)]
    Serve {
        /// Which server
        #[arg(value_enum)]
        arm: arms::Arm,
    },
    /// Serve transports until standard input ends (started by what measures them)
    #[command(hide = true)]
    ServeTransport {
        /// A backend, or the peer
        arm: String,
    },
    /// Hold as many idle tasks as standard input asks for (started by `idle`)
    #[command(hide = true)]
    HoldTasks {
        /// On which backend
        backend: String,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shroud-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Seam(seam) => seam.run(),
        Command::Idle(idle) => idle.run(),
        Command::Serve { arm } => arm.serve(),
        Command::Quic(quic) => quic.run(),
        Command::Http2(http2) => http2.run(),
        Command::Http3(http3) => http3.run(),
        Command::Websocket(websocket) => websocket.run(),
        Command::Connections(connections) => connections.run(),
        Command::ServeTransport { arm } => peers::serve_transport(&arm),
        Command::HoldTasks { backend } => idle::hold_tasks(&backend),
        Command::Floors => {
            let directory = tempfile::tempdir()?;
            for floor in floors::measure(directory.path(), Duration::from_millis(500), 1)? {
                println!("{:<28}{:>9.2} us   {}", floor.name, floor.micros, floor.note);
            }
            Ok(())
        }
    }
}

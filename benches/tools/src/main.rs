//! `shroud-bench`: what the seam costs, what idling takes, and what nothing can go below.
//!
//! - `seam`: the same hyper server over the seam and written directly on each runtime's own API, in ABBA blocks.
//! - `idle`: memory of an idle task and of an idle HTTP connection on each backend, as a slope over several sizes.
//! - `websocket`: an echoed message and an idle connection, against fastwebsockets on Tokio.
//! - `floors`: loopback, signatures, sync and the contract engine.
#![forbid(unsafe_code)]

mod arms;
mod child;
mod idle;
mod seam;
mod websocket;

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
    /// Server CPU of an echoed WebSocket message, and memory of an idle connection, against fastwebsockets
    Websocket(websocket::Websocket),
    /// Loopback, signatures, sync and the contract engine on this machine
    Floors,
    /// Serve "Hello, world!" on one arm until killed (started by `seam` and `idle`)
    #[command(hide = true)]
    Serve {
        /// Which server
        #[arg(value_enum)]
        arm: arms::Arm,
    },
    /// Echo WebSocket messages until killed (started by `websocket`)
    #[command(hide = true)]
    ServeWebsocket {
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
        Command::Websocket(websocket) => websocket.run(),
        Command::ServeWebsocket { arm } => websocket::serve(&arm),
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

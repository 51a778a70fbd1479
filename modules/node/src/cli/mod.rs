//! The `shroud` command.

mod acme;
mod backends;
mod compare;
mod config;
mod dns;
mod dns_serve;
mod genesis;
mod get;
mod inspect;
mod keep_segments;
mod node;
mod output;
mod proxy;
mod serve;
#[cfg(feature = "sim")]
mod sim;
mod tls;
mod transport_server;
mod trust;
mod wallet;
mod ws;

pub use config::merged_configuration;

use clap::{Parser, Subcommand};
use std::future::Future;
use std::process::ExitCode;

/// The same node, on every executor, measured honestly.
#[derive(Debug, Parser)]
#[command(name = "shroud", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Drive the node with the same load on every backend; print a table, write report.html and report.json
    Compare(compare::Compare),
    /// Serve a node until SIGINT or SIGTERM
    Node(Box<config::NodeFlags>),
    /// List the backends and what they can do on this machine
    Backends(backends::Backends),
    /// Make or check a genesis file
    Genesis(genesis::Genesis),
    /// Keys in encrypted keystores: make, import, list, send, balance
    Wallet(wallet::Wallet),
    /// Ask an HTTP server: a small curl
    Get(Box<get::Get>),
    /// Serve the files of a directory over HTTP
    Serve(serve::Serve),
    /// Ask a DNS server over UDP, TCP, TLS, HTTPS or QUIC: a small dig; `dns serve` serves zones
    Dns(Box<dns::Dns>),
    /// Forward requests to other servers, by a configuration file
    Proxy(proxy::ProxyCommand),
    /// Connect to a WebSocket server: send lines of standard input, print what arrives
    Ws(ws::Ws),
    /// Print the node's configuration after flags, environment, file and defaults are merged
    Config(Box<config::NodeFlags>),
    /// Print a running node's live task tree
    Tasks(inspect::Tasks),
    /// Run the whole node under faults in virtual time, from seeds
    #[cfg(feature = "sim")]
    Sim(sim::Sim),
    /// Serve all transports by themselves until standard input ends (started by `compare`)
    #[command(hide = true)]
    TransportServer(transport_server::TransportServer),
    /// Check a data directory: replay its journal and prove chain, double entry and commitment
    Audit(inspect::Audit),
}

/// What a command failed with: a message for people that says what to do next, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The command could not do its work: exit code 1.
    pub(crate) fn new(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// The command line or configuration is wrong: exit code 2.
    pub(crate) fn usage(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// As [`Failure::new`], saying what was being done.
    pub(crate) fn of<E: std::fmt::Display>(doing: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::new(format_args!("{doing}: {error}"))
    }
}

/// Runs a command's few requests on the first backend that is built in and can run here.
fn block_on<M, F, T>(main: M) -> Result<T, Failure>
where
    M: FnOnce(Default) -> F + Send + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    use shroud_runtime::Backend as _;
    DEFAULT.block_on(main).map_err(Failure::new)?.map_err(Failure::new)
}

/// What commands run on that only ask.
#[cfg(feature = "tokio")]
const DEFAULT: crate::backends::tokio::TokioPerCore = crate::backends::tokio::TokioPerCore;
#[cfg(all(feature = "smol", not(feature = "tokio")))]
const DEFAULT: crate::backends::smol::SmolPerCore = crate::backends::smol::SmolPerCore;
#[cfg(not(any(feature = "smol", feature = "tokio")))]
const DEFAULT: crate::backends::glommio::Glommio = crate::backends::glommio::Glommio;

#[cfg(feature = "tokio")]
type Default = <crate::backends::tokio::TokioPerCore as shroud_runtime::Backend>::Runtime;
#[cfg(all(feature = "smol", not(feature = "tokio")))]
type Default = <crate::backends::smol::SmolPerCore as shroud_runtime::Backend>::Runtime;
#[cfg(not(any(feature = "smol", feature = "tokio")))]
type Default = <crate::backends::glommio::Glommio as shroud_runtime::Backend>::Runtime;

/// Runs the command line and gives the exit code: 0 done, 1 failed, 2 wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Compare(command) => command.run(),
        Command::Node(flags) => node::serve(*flags),
        Command::Backends(command) => command.run(),
        Command::Genesis(command) => command.run(),
        Command::Wallet(command) => command.run(),
        Command::Get(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Dns(command) => command.run(),
        Command::Proxy(command) => command.run(),
        Command::Ws(command) => command.run(),
        Command::Config(flags) => config::print(*flags),
        Command::Tasks(command) => command.run(),
        #[cfg(feature = "sim")]
        Command::Sim(command) => command.run(),
        Command::TransportServer(command) => command.run(),
        Command::Audit(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

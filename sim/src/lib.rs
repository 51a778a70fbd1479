//! Deterministic simulation: code that is written on the seam, run on many hosts at once, on one thread, in virtual time,
//! with a network, clocks and disks that go wrong; all of it from a seed. The same seed gives the same run, bit for bit.
//!
//! ```
//! use shroud_runtime::{ConnectOptions, ListenOptions, Runtime, net::ListenerExt};
//! use shroud_sim::{HostConfig, SimConfig, Simulation};
//! use futures_util::{AsyncReadExt, AsyncWriteExt};
//!
//! let simulation = Simulation::new(SimConfig::seed(7));
//! let server = simulation.host(HostConfig::new("server"));
//! let client = simulation.host(HostConfig::new("client"));
//! server.start(1, |rt| async move {
//!     let mut listener = rt.listen("0.0.0.0:80".parse()?, ListenOptions::default()).await?;
//!     loop {
//!         let (mut stream, _) = listener.accept().await?;
//!         stream.write_all(b"welcome").await?;
//!     }
//!     #[allow(unreachable_code)]
//!     Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! });
//! let greeting = client.start(1, |rt| async move {
//!     let address = rt.lookup("server", 80).await?[0];
//!     let mut stream = loop {
//!         // It may not listen yet.
//!         if let Ok(stream) = rt.connect(address, ConnectOptions::default()).await {
//!             break stream;
//!         }
//!     };
//!     let mut greeting = String::new();
//!     stream.read_to_string(&mut greeting).await?;
//!     Ok::<_, std::io::Error>(greeting)
//! });
//! simulation.run_while(|| greeting.is_running());
//! assert_eq!(greeting.results()[0].as_ref().unwrap().as_ref().unwrap().as_ref().unwrap(), "welcome");
//! ```
//!
//! | module | what is inside |
//! |---|---|
//! | [`Simulation`] | hosts, the plan of faults, running |
//! | [`Host`], [`Program`] | starting, crashing, pausing, and what came of it |
//! | [`Outcome`] | how a run ended, with its hash |
//! | [`Sim`] | one simulated host as a [`Backend`](shroud_runtime::Backend) |
//!
//! Links, clocks and disks are changed through [`Simulation::universe`].
#![forbid(unsafe_code)]

mod backend;
mod environment;
mod host;
mod outcome;
mod program;
mod simulation;

pub use backend::Sim;
pub use host::Host;
pub use outcome::{Outcome, Verdict};
pub use program::Program;
pub use simulation::{SimConfig, Simulation};

pub use shroud_executor_sim::{Policy, SimExecutor};
pub use shroud_io_sim::{
    BlockingDisk, Census, ClockSkew, Divergence, HostConfig, HostId, Kind, LinkConfig, Record, Recording,
    SimIo, Universe, chance, disk, first_difference,
};

/// What tasks get in the simulator.
pub type SimRuntime = shroud_runtime::Composed<SimExecutor, SimIo>;

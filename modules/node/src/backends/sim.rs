//! The simulator: virtual time, a network, clocks and disks from a seed, all on one thread.
//!
//! [`Sim`] is one simulated host as a backend, for what runs on any. Many hosts and faults: [`Simulation`].

pub use shroud_sim::{Sim, SimRuntime, Simulation};

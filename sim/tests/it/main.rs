//! The simulator's own promises, beyond those of the seam that the conformance suite checks.
//!
//! To add one: a `#[test]` in the file of its area. Start with [`support::pair`] for two hosts, change what lies between them
//! through `simulation.universe()`, and run.

mod determinism;
mod hosts;
mod network;
mod scheduler;
mod support;

//! The whole node under faults, from a seed: workloads, fault plans, oracles.
//!
//! A [`scenario`] is a workload of real clients on simulated hosts and a [`plan`] of faults drawn from the seed. [`run`]
//! plays one and gathers [`evidence`]; the [`oracle`]s judge it. `docs/simulation.md` says how to write one.
//!
//! | module | what is inside |
//! |---|---|
//! | [`history`] | what clients did and were told, in order |
//! | [`linear`] | the linearizability checker |
//! | [`model`] | the ledger as its users understand it: the checker's specification |
//! | [`evidence`], [`oracle`] | what a run leaves behind, and who judges it |

pub mod evidence;
pub mod history;
pub mod linear;
pub mod model;
pub mod oracle;

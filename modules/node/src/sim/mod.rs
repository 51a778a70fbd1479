//! The whole node under faults, from a seed: workloads, fault plans, oracles.
//!
//! A [`scenario`] is a workload of real clients on simulated hosts and a [`plan`] of faults drawn from the seed. [`run()`]
//! plays one and gathers [`evidence`]; the [`oracle`]s judge it. `docs/simulation.md` says how to write one.
//!
//! | module | what is inside |
//! |---|---|
//! | [`scenario`], [`plan`] | what clients do and what goes wrong |
//! | [`workload`] | the clients |
//! | [`site`], [`store`] | the node's host, its operator, and its disk |
//! | [`mod@run`], [`shrink`], [`batch`] | one run, fewer faults, many runs |
//! | [`history`] | what clients did and were told, in order |
//! | [`linear`], [`serial`] | the linearizability checker, and the quick one for an order that is known |
//! | [`model`] | the ledger as its users understand it: the checker's specification |
//! | [`evidence`], [`oracle`] | what a run leaves behind, and who judges it |

pub mod batch;
pub mod corpus;
pub mod evidence;
pub mod history;
pub mod linear;
pub mod model;
pub mod oracle;
pub mod plan;
mod rot;
pub mod run;
pub mod scenario;
pub mod serial;
pub mod shrink;
pub mod site;
pub mod store;
pub mod workload;

pub use run::{Options, Report, run};
pub use scenario::{SCENARIOS, Scenario, find};

#[cfg(test)]
mod tests;

#[cfg(all(test, feature = "planted-faults"))]
mod planted;

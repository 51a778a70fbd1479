//! What the nodes are made to do: seeded, signed and complete before anything is timed.
//!
//! A [`Plan`] lists phases; [`WorkSet::build`] makes the requests of all of them, so that every backend executes exactly the
//! same transactions and must end in the same state. Each account belongs to one connection, which keeps its nonces in order;
//! transfers and counter calls commute, so that the order among connections does not matter.

mod accounts;
mod build;
mod plan;

pub(crate) use build::READ_COUNT;
pub use build::{Deployment, Phase, WorkSet};
pub(crate) use plan::Lengths;
pub use plan::{CLOSED_CONNECTIONS, Kind, OPEN_CONNECTIONS, PhasePlan, Plan, Purpose};

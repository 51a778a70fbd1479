//! Tasks of many simulated hosts, polled on one thread in an order that is drawn from a seed.
//!
//! A [`Scheduler`] holds the tasks of all *processes*: one process is one run of one simulated host, and can be killed (all its
//! tasks are dropped where they stand) or paused. Each turn fires what is due in the [`Environment`], then polls one of
//! the ready tasks; with none ready, time jumps to the environment's next event; with none of those either, nothing can
//! ever happen again, and [`Scheduler::turn`] says so.
//!
//! Time and chance come from the environment alone, so that this crate knows nothing of networks and disks.
#![forbid(unsafe_code)]

mod environment;
mod executor;
mod policy;
mod process;
mod scheduler;
mod task;

pub use environment::Environment;
pub use executor::SimExecutor;
pub use policy::{PATIENCE, Policy};
pub use process::Process;
pub use scheduler::{Scheduler, Turn};

//! Workloads, load generators, statistics and the report: the engine of `shroud compare`.
//!
//! [`compare`] starts a node on every backend and drives each with the same work; [`load`] is the client that does so
//! from one thread; [`workload`] builds signed requests before anything is timed; [`proc`](mod@proc) reads what a process has
//! cost; [`stats`] judges; [`floors`] measures what no node can go below; [`transport`] drives
//! the protocols by themselves; [`report`] prints, writes and draws.
#![forbid(unsafe_code)]

pub mod affinity;
pub mod compare;
pub mod floors;
pub mod histogram;
pub mod load;
pub mod proc;
pub mod report;
pub mod rng;
pub mod stats;
pub mod transport;
pub mod workload;

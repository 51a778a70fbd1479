//! Shards: the unit of placement of a node.

use std::fmt;

/// How a backend lays its threads out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topology {
    /// One shard whose tasks may move between several worker threads.
    WorkStealing,
    /// One shard per thread; a task stays where it was spawned.
    PerCore,
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WorkStealing => "work-stealing",
            Self::PerCore => "per-core",
        })
    }
}

/// Which shard of a node a runtime value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// This shard's number, `0..count`.
    pub index: usize,
    /// Shards in the node: 1 in a work-stealing topology.
    pub count: usize,
    /// Threads that poll this shard's tasks: 1 in a per-core topology.
    pub workers: usize,
    /// How the threads are laid out.
    pub topology: Topology,
}

impl Shard {
    /// The only shard of a node with one thread.
    #[must_use]
    pub const fn single() -> Self {
        Self { index: 0, count: 1, workers: 1, topology: Topology::PerCore }
    }
}

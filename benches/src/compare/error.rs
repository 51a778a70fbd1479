//! Why a run or a whole comparison could not be made.

use crate::load::{LoadError, RpcFailure};
use std::io;

/// Why a comparison, or one run of it, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// No backend to run.
    #[error("no backend that this machine can run was chosen")]
    NoBackend,
    /// A directory, process or `/proc` could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What happened.
        source: io::Error,
    },
    /// A node did not start.
    #[error("{backend}: the node did not start: {reason}")]
    Start {
        /// On which backend.
        backend: String,
        /// Its last words.
        reason: String,
    },
    /// A node did not stop in order.
    #[error("{backend}: the node did not stop cleanly: {reason}")]
    Stop {
        /// On which backend.
        backend: String,
        /// How it ended.
        reason: String,
    },
    /// The load broke off.
    #[error("{backend}, {phase}: {source}")]
    Load {
        /// On which backend.
        backend: String,
        /// In which phase.
        phase: String,
        /// What happened.
        source: LoadError,
    },
    /// Answers were wrong.
    #[error("{backend}, {phase}: {errors} wrong answers; the first: {first}")]
    Wrong {
        /// On which backend.
        backend: String,
        /// In which phase.
        phase: String,
        /// How many.
        errors: u64,
        /// The first of them.
        first: String,
    },
    /// A transport by itself broke off.
    #[error("{backend}, {workload}: {reason}")]
    Transport {
        /// On which backend.
        backend: String,
        /// Which workload.
        workload: String,
        /// What happened.
        reason: String,
    },
    /// A call of set-up or check failed.
    #[error("{backend}: {source}")]
    Rpc {
        /// On which backend.
        backend: String,
        /// What happened.
        source: RpcFailure,
    },
    /// The state after the run is not what the work makes.
    #[error("{backend}: {reason}")]
    State {
        /// On which backend.
        backend: String,
        /// What is wrong.
        reason: String,
    },
    /// The work could not be made.
    #[error("making the work: {0}")]
    Work(String),
}

impl CompareError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

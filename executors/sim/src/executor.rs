//! The executor half of the seam.

use crate::process::Process;
use crate::scheduler::Core;
use shroud_runtime::{Executor, Job, Offload, TimedJob};
use std::future::Future;
use std::sync::Arc;

/// Spawns tasks of one process onto the scheduler. Blocking jobs run on the scheduler's thread, each at an instant between
/// two turns that is drawn from the seed; their results are there when the time that they took has passed.
#[derive(Clone)]
pub struct SimExecutor {
    pub(crate) core: Arc<Core>,
    pub(crate) process: Process,
}

impl SimExecutor {
    /// The process whose tasks it spawns.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }
}

impl std::fmt::Debug for SimExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimExecutor").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Offload for SimExecutor {
    fn run_blocking(&self, job: Job) {
        self.run_blocking_timed(Box::new(move || {
            job();
            Box::new(|| {})
        }));
    }

    fn run_blocking_timed(&self, job: TimedJob) {
        self.core.run_later(self.process, job);
    }
}

impl Executor for SimExecutor {
    fn execute<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.core.insert(self.process, Box::pin(task));
    }
}

//! The executor half of the seam.

use crate::ThreadHook;
use crate::blocking_jobs::BlockingJobs;
use crate::deferred;
use async_executor::Executor as Smol;
use shroud_runtime::{Executor, Job, Offload};
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::task::Waker;

/// Polls tasks on an async-executor; blocking jobs run on the threads of the `blocking` crate.
#[derive(Clone)]
pub struct SmolExecutor {
    executor: Source,
    jobs: Arc<BlockingJobs>,
}

#[derive(Clone)]
enum Source {
    Shared(Arc<Smol<'static>>),
    Static(&'static Smol<'static>),
}

impl Deref for Source {
    type Target = Smol<'static>;

    fn deref(&self) -> &Smol<'static> {
        match self {
            Self::Shared(executor) => executor,
            Self::Static(executor) => executor,
        }
    }
}

impl SmolExecutor {
    pub(crate) fn new(hook: Option<ThreadHook>) -> Self {
        Self { executor: Source::Shared(Arc::default()), jobs: BlockingJobs::new(hook) }
    }

    /// The executor itself.
    #[must_use]
    pub fn inner(&self) -> &Smol<'static> {
        &self.executor
    }

    /// Lets no further blocking job begin, and waits for those that run.
    pub(crate) fn close_jobs(&self) {
        self.jobs.close();
    }
}

impl From<Arc<Smol<'static>>> for SmolExecutor {
    fn from(executor: Arc<Smol<'static>>) -> Self {
        Self { executor: Source::Shared(executor), jobs: BlockingJobs::new(None) }
    }
}

impl From<&'static Smol<'static>> for SmolExecutor {
    fn from(executor: &'static Smol<'static>) -> Self {
        Self { executor: Source::Static(executor), jobs: BlockingJobs::new(None) }
    }
}

impl std::fmt::Debug for SmolExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmolExecutor").field("executor", self.inner()).finish_non_exhaustive()
    }
}

impl Offload for SmolExecutor {
    fn run_blocking(&self, job: Job) {
        self.jobs.run(job);
    }
}

impl Executor for SmolExecutor {
    fn execute<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.executor.spawn(task).detach();
    }

    const DEFER: Option<fn(&Waker)> = Some(deferred::wake_later);
}

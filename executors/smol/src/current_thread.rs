//! One thread, one shard.

use crate::{SmolExecutor, ThreadHook};
use std::future::Future;

/// An executor that polls on the thread that waits in [`CurrentThread::block_on`].
#[derive(Debug)]
pub struct CurrentThread {
    executor: SmolExecutor,
}

impl CurrentThread {
    /// An executor for the calling thread; `hook` runs before each blocking job.
    #[must_use]
    pub fn new(hook: Option<ThreadHook>) -> Self {
        Self { executor: SmolExecutor::new(hook) }
    }

    /// Spawns onto this thread, from any.
    #[must_use]
    pub fn executor(&self) -> SmolExecutor {
        self.executor.clone()
    }

    /// Polls `future` and all tasks until it ends, and the process's reactor while there is nothing to poll. Then
    /// waits for blocking jobs that have started; others are dropped.
    ///
    /// # Panics
    /// When `future` panics.
    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        async_io::block_on(self.executor.inner().run(future))
    }
}

impl Drop for CurrentThread {
    fn drop(&mut self) {
        self.executor.close_jobs();
    }
}

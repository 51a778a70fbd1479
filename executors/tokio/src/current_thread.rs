//! One thread, one shard.

use crate::{ThreadHook, TokioExecutor};
use std::future::Future;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// A Tokio runtime that polls on the thread that waits in [`CurrentThread::block_on`], with a reactor of its own.
/// Dropping it waits for its blocking threads to end.
#[derive(Debug)]
pub struct CurrentThread {
    runtime: Runtime,
}

impl CurrentThread {
    /// A runtime for the calling thread; `hook` runs first on each of its blocking threads.
    ///
    /// # Errors
    /// When the drivers cannot be made.
    pub fn new(hook: Option<ThreadHook>) -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().thread_name("shroud-blocking");
        if let Some(hook) = hook {
            builder.on_thread_start(move || {
                // A blocking thread that keeps an inherited affinity is slower, not wrong.
                let _ = hook(None);
            });
        }
        Ok(Self { runtime: builder.build()? })
    }

    /// Spawns onto this thread, from any.
    #[must_use]
    pub fn executor(&self) -> TokioExecutor {
        TokioExecutor::new(self.runtime.handle().clone())
    }

    /// Polls `future` and all tasks until it ends, then takes the runtime down. Blocking jobs that have started run to
    /// their end, others are dropped.
    ///
    /// # Panics
    /// When called on a thread that is itself inside a Tokio runtime, or when `future` panics.
    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

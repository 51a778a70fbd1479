//! The executor half of the seam.

use shroud_runtime::{Executor, Job, Offload};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use tokio::runtime::{Handle, TryCurrentError};

/// Polls tasks on a Tokio runtime; blocking jobs run on its blocking threads.
#[derive(Clone, Debug)]
pub struct TokioExecutor {
    handle: Handle,
}

impl TokioExecutor {
    /// On the runtime behind `handle`.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// On the runtime that this is called in.
    ///
    /// # Errors
    /// When called outside any.
    pub fn current() -> Result<Self, TryCurrentError> {
        Handle::try_current().map(Self::new)
    }

    /// The runtime's handle.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Offload for TokioExecutor {
    fn run_blocking(&self, job: Job) {
        drop(self.handle.spawn_blocking(job));
    }
}

impl Executor for TokioExecutor {
    fn execute<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // The seam's own handle watches the task; Tokio's is not needed, and dropping it lets the task run.
        drop(self.handle.spawn(task));
    }

    // Tokio wakes it after the next look at its drivers.
    const DEFER: Option<fn(&Waker)> = Some(|waker| {
        let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(waker));
    });
}

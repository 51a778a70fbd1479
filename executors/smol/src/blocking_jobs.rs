//! Blocking jobs that end with their executor, although the threads belong to the process.

use crate::ThreadHook;
use shroud_runtime::Job;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The blocking jobs of one executor.
pub(crate) struct BlockingJobs {
    state: Mutex<State>,
    idle: Condvar,
    hook: Option<ThreadHook>,
}

#[derive(Default)]
struct State {
    running: usize,
    closed: bool,
}

impl BlockingJobs {
    pub(crate) fn new(hook: Option<ThreadHook>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), idle: Condvar::new(), hook })
    }

    /// Runs `job` on a blocking thread, or drops it when the executor has ended before its turn.
    pub(crate) fn run(self: &Arc<Self>, job: Job) {
        let jobs = Arc::clone(self);
        blocking::unblock(move || {
            let Some(_running) = Running::begin(&jobs) else { return };
            if let Some(hook) = &jobs.hook {
                // A blocking thread that keeps an inherited affinity is slower, not wrong.
                let _ = hook(None);
            }
            job();
        })
        .detach();
    }

    /// Lets no further job begin, and waits for those that run.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        while state.running > 0 {
            state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that runs.
struct Running<'a> {
    jobs: &'a BlockingJobs,
}

impl<'a> Running<'a> {
    fn begin(jobs: &'a BlockingJobs) -> Option<Self> {
        let mut state = jobs.state();
        if state.closed {
            return None;
        }
        state.running += 1;
        Some(Self { jobs })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.jobs.state();
        state.running -= 1;
        if state.running == 0 {
            self.jobs.idle.notify_all();
        }
    }
}

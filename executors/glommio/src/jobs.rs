//! Blocking jobs that end with their shard, although the threads belong to the process.

use shroud_runtime::Job;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Places the calling thread: worker `Some(index)`, or a blocking thread, which runs it before each job because it
/// inherited the placement of whoever started it.
pub type ThreadHook = Arc<dyn Fn(Option<usize>) -> io::Result<()> + Send + Sync>;

/// The blocking jobs of one shard. They run on the process-wide pool of the `blocking` crate: glommio's own is one thread
/// a shard, where a heavy job would stand before every other.
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

    /// Runs `job` on a blocking thread, or drops it when the shard has ended before its turn.
    pub(crate) fn run(self: &Arc<Self>, job: Job) {
        let jobs = Arc::clone(self);
        blocking::unblock(move || {
            let Some(running) = Running::begin(&jobs) else { return };
            if let Some(hook) = &jobs.hook {
                // A blocking thread that keeps an inherited placement is slower, not wrong.
                let _ = hook(None);
            }
            job();
            drop(running);
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

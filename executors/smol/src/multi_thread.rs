//! Work-stealing workers.

use crate::{SmolExecutor, ThreadHook};
use async_channel::{Receiver, Sender};
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

/// Nothing is ever sent: the workers end when the sender is dropped.
enum Never {}

/// An executor polled by several threads that steal each other's tasks. Dropping it waits for all of them to end, and
/// for blocking jobs that have started; other jobs are dropped.
#[derive(Debug)]
pub struct MultiThread {
    executor: SmolExecutor,
    running: Option<Sender<Never>>,
    threads: Vec<JoinHandle<()>>,
}

impl MultiThread {
    /// Starts the workers, named `shroud-0`, `shroud-1`, and so on, and runs `hook` on each of their threads first.
    ///
    /// # Errors
    /// When a thread cannot be started, or `hook` failed on it.
    pub fn start(workers: NonZeroUsize, hook: Option<ThreadHook>) -> io::Result<Self> {
        let (sender, receiver) = async_channel::bounded(1);
        let executor = SmolExecutor::new(hook.clone());
        let mut started =
            Self { executor, running: Some(sender), threads: Vec::with_capacity(workers.get()) };
        let (report, reports) = mpsc::channel();
        for index in 0..workers.get() {
            let (executor, running) = (started.executor.clone(), receiver.clone());
            let (report, hook) = (report.clone(), hook.clone());
            let thread = thread::Builder::new().name(format!("shroud-{index}")).spawn(move || {
                let ready = hook.map_or(Ok(()), |hook| hook(Some(index)));
                let failed = ready.is_err();
                let _ = report.send(ready);
                if !failed {
                    work(&executor, &running);
                }
            })?;
            started.threads.push(thread);
        }
        for _ in 0..workers.get() {
            reports.recv().map_err(|_| io::Error::other("a worker thread did not start"))??;
        }
        Ok(started)
    }

    /// Spawns onto these workers.
    #[must_use]
    pub fn executor(&self) -> SmolExecutor {
        self.executor.clone()
    }

    /// Waits for `future` on the calling thread, then ends all threads. The calling thread leaves the reactor to the
    /// workers, so that a worker that waits for I/O is woken by itself.
    ///
    /// # Panics
    /// When `future` panics.
    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        futures_lite::future::block_on(future)
    }
}

impl Drop for MultiThread {
    fn drop(&mut self) {
        drop(self.running.take());
        for thread in self.threads.drain(..) {
            // Workers catch panics; one that still ended by a panic has ended.
            let _ = thread.join();
        }
        self.executor.close_jobs();
    }
}

/// Polls tasks until the node ends.
fn work(executor: &SmolExecutor, running: &Receiver<Never>) {
    // Tasks contain their own panics. One that escapes, from a waker, must not cost the node a thread.
    while catch_unwind(AssertUnwindSafe(|| async_io::block_on(executor.inner().run(running.recv())))).is_err()
    {
    }
}

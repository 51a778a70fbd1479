//! Work-stealing workers.

use crate::{ThreadHook, TokioExecutor};
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long workers may take to start before the machine is taken to refuse threads: starting one takes microseconds.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Who waits for the kernel beside a Tokio executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reactor {
    /// Tokio's own I/O and time drivers, driven by an idle worker.
    Own,
    /// Somebody else's reactor; Tokio's drivers are left out.
    Foreign,
}

/// A Tokio runtime of several workers that steal each other's tasks. Dropping it waits for all its threads to end.
#[derive(Debug)]
pub struct MultiThread {
    runtime: Runtime,
}

impl MultiThread {
    /// Starts the workers, named `shroud-0`, `shroud-1`, and so on, and runs `hook` on each of their threads first.
    ///
    /// # Errors
    /// When the drivers cannot be made, a thread cannot be started, or `hook` failed on a worker.
    pub fn start(workers: NonZeroUsize, reactor: Reactor, hook: Option<ThreadHook>) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers.get()).thread_name_fn(names(workers));
        if reactor == Reactor::Own {
            builder.enable_all();
        }
        let Some(hook) = hook else { return Ok(Self { runtime: builder.build()? }) };
        let (report, reports) = mpsc::channel();
        builder.on_thread_start(move || {
            let worker = worker_index(workers);
            let result = hook(worker);
            if worker.is_some() {
                // The receiver is gone only when another worker has already failed.
                let _ = report.send(result);
            }
        });
        let started = Self { runtime: builder.build()? };
        for _ in 0..workers.get() {
            reports
                .recv_timeout(START_LIMIT)
                .map_err(|_| io::Error::new(io::ErrorKind::WouldBlock, "a worker thread did not start"))??;
        }
        Ok(started)
    }

    /// Spawns onto these workers.
    #[must_use]
    pub fn executor(&self) -> TokioExecutor {
        TokioExecutor::new(self.runtime.handle().clone())
    }

    /// Waits for `future` on the calling thread, then ends all threads. Blocking jobs that have started run to their
    /// end, others are dropped.
    ///
    /// # Panics
    /// When called on a thread that is itself inside a Tokio runtime, or when `future` panics.
    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

/// Tokio starts all workers before any blocking thread, so they have the first names.
fn names(workers: NonZeroUsize) -> impl Fn() -> String + Send + Sync + 'static {
    let next = AtomicUsize::new(0);
    move || match next.fetch_add(1, Ordering::Relaxed) {
        index if index < workers.get() => format!("shroud-{index}"),
        _ => "shroud-blocking".to_owned(),
    }
}

/// Which worker the calling thread is, by its name.
fn worker_index(workers: NonZeroUsize) -> Option<usize> {
    let index = thread::current().name()?.strip_prefix("shroud-")?.parse().ok()?;
    (index < workers.get()).then_some(index)
}

//! Spawning on one thread's glommio executor.

use crate::jobs::{BlockingJobs, ThreadHook};
use crate::turns::Turns;
use async_channel::{Receiver, Sender};
use glommio::TaskQueueHandle;
use shroud_runtime::{Executor, Job, Offload};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::{self, ThreadId};

/// A task on its way to its thread.
type Arriving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One thread's glommio executor, as the seam's.
#[derive(Clone)]
pub struct GlommioExecutor {
    shared: Arc<Shared>,
}

struct Shared {
    home: ThreadId,
    queue: TaskQueueHandle,
    /// Whether tasks of the home thread can be spawned without a detour.
    running: AtomicBool,
    arriving: Sender<Arriving>,
    jobs: Arc<BlockingJobs>,
}

impl GlommioExecutor {
    /// The glommio executor that runs the calling task. New tasks go to that task's queue.
    ///
    /// # Panics
    /// Outside of a task of a glommio executor.
    #[must_use]
    pub fn current() -> Self {
        let (executor, arrivals) = Self::new(glommio::executor().current_task_queue(), None);
        let queue = executor.shared.queue;
        spawn(queue, arrivals.take_over(queue));
        executor.shared.running.store(true, Ordering::Release);
        executor
    }

    /// An executor for the calling thread, and the tasks that wait until it runs.
    pub(crate) fn new(queue: TaskQueueHandle, hook: Option<ThreadHook>) -> (Self, Arrivals) {
        let (arriving, arrivals) = async_channel::unbounded();
        let shared = Shared {
            home: thread::current().id(),
            queue,
            running: AtomicBool::new(false),
            arriving,
            jobs: BlockingJobs::new(hook),
        };
        (Self { shared: Arc::new(shared) }, Arrivals(arrivals))
    }

    /// Runs a task that takes over arriving ones until `main` has ended and the last of them is there.
    pub(crate) async fn run<F: Future>(&self, arrivals: Arrivals, main: F) -> F::Output {
        let queue = self.shared.queue;
        let taking_over = glommio::spawn_local_into(arrivals.take_over(queue), queue);
        self.shared.running.store(true, Ordering::Release);
        let output = main.await;
        // From here on new tasks are dropped.
        self.shared.arriving.close();
        if let Ok(taking_over) = taking_over {
            taking_over.await;
        }
        self.shared.running.store(false, Ordering::Release);
        output
    }

    /// Lets no further blocking job begin, and waits for those that run.
    pub(crate) fn close_jobs(&self) {
        self.shared.jobs.close();
    }
}

impl Executor for GlommioExecutor {
    fn execute<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = &*self.shared;
        let here = thread::current().id() == shared.home
            && shared.running.load(Ordering::Acquire)
            && !shared.arriving.is_closed();
        if here {
            spawn(shared.queue, task);
        } else {
            // Dropped when the executor has ended.
            let _ = shared.arriving.try_send(Box::pin(task));
        }
    }

    const DEFER: Option<fn(&Waker)> = Some(|waker| Turns::here().wake_next_turn(waker));
}

impl Offload for GlommioExecutor {
    fn run_blocking(&self, job: Job) {
        self.shared.jobs.run(job);
    }
}

impl std::fmt::Debug for GlommioExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlommioExecutor").field("home", &self.shared.home).finish_non_exhaustive()
    }
}

/// Tasks from other threads, or from before the executor ran.
#[derive(Debug)]
pub(crate) struct Arrivals(Receiver<Arriving>);

impl Arrivals {
    /// Spawns each as it comes, until no executor value is left or it was closed; keeps the shard's pulse meanwhile.
    async fn take_over(self, queue: TaskQueueHandle) {
        // Cancelled when this ends.
        let _pulse = glommio::spawn_local_into(Turns::here().keep_pulse(), queue);
        while let Ok(task) = self.0.recv().await {
            spawn(queue, task);
        }
    }
}

/// Queues a task. glommio's `spawn_local` would poll it inside the spawning one, as deep as tasks spawn tasks.
fn spawn(queue: TaskQueueHandle, task: impl Future<Output = ()> + 'static) {
    // Fails only for a queue that was removed.
    if let Ok(task) = glommio::spawn_local_into(Turns::here().limit(task), queue) {
        task.detach();
    }
}

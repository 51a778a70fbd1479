//! Spawning on one thread's glommio executor.

use async_channel::{Receiver, Sender};
use glommio::TaskQueueHandle;
use shroud_runtime::{Executor, Job, Offload};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::{self, ThreadId};

/// A task on its way from another thread.
type Foreign = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One thread's glommio executor, as the seam's. Blocking jobs go to the process-wide pool of the `blocking` crate:
/// glommio's own is one thread a shard, where a heavy job would stand before every other.
#[derive(Clone, Debug)]
pub struct GlommioExecutor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    home: ThreadId,
    queue: TaskQueueHandle,
    foreign: Sender<Foreign>,
    /// Ends when the last task from another thread has been taken over.
    drained: Receiver<Infallible>,
}

impl GlommioExecutor {
    /// The glommio executor that runs the calling task. New tasks go to that task's queue.
    ///
    /// # Panics
    /// Outside of a task of a glommio executor.
    #[must_use]
    pub fn current() -> Self {
        let queue = glommio::executor().current_task_queue();
        let (foreign, arriving) = async_channel::unbounded::<Foreign>();
        let (draining, drained) = async_channel::bounded(1);
        spawn(queue, async move {
            while let Ok(task) = arriving.recv().await {
                spawn(queue, task);
            }
            drop::<Sender<Infallible>>(draining);
        });
        Self { shared: Arc::new(Shared { home: thread::current().id(), queue, foreign, drained }) }
    }

    /// Drops tasks that come from now on, and waits until those that came from other threads before have been started.
    pub async fn close(&self) {
        self.shared.foreign.close();
        let _ = self.shared.drained.recv().await;
    }
}

impl Executor for GlommioExecutor {
    fn execute<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if thread::current().id() != self.shared.home {
            // A closed shard drops the task.
            let _ = self.shared.foreign.try_send(Box::pin(task));
        } else if !self.shared.foreign.is_closed() {
            spawn(self.shared.queue, task);
        }
    }
}

impl Offload for GlommioExecutor {
    fn run_blocking(&self, job: Job) {
        blocking::unblock(job).detach();
    }
}

/// Queues a task. glommio's `spawn_local` would poll it inside the spawning one, as deep as tasks spawn tasks.
fn spawn(queue: TaskQueueHandle, task: impl Future<Output = ()> + 'static) {
    if let Ok(task) = glommio::spawn_local_into(task, queue) {
        task.detach();
    }
}

//! One thread, one shard, one set of rings.

use crate::executor::{Arrivals, GlommioExecutor};
use crate::jobs::ThreadHook;
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement, TaskQueueHandle};
use std::future::Future;
use std::io;
use std::time::Duration;

/// Memory that a shard registers with its three rings, in bytes: the least glommio takes. It is locked three times over,
/// so that the usual limit of 8 MiB is enough for 40 shards; larger file reads use memory that is not registered.
const IO_MEMORY: usize = 64 << 10;
/// Entries of each of a shard's rings: operations that one call hands to the kernel at most.
const RING_DEPTH: usize = 256;
/// glommio's own limit on turns, out of reach: when it strikes at the wrong moment, the shard sleeps with ready tasks.
/// [`crate::turns`] limits them instead.
const PREEMPT: Duration = Duration::from_secs(3600);
/// A process's first sleep in glommio registers with `membarrier(2)`, which waits for the whole kernel: 8 ms were seen on an
/// idle machine, and it grows with load. So the first timer is late: this one is, before anything else starts.
const WARM_UP: Duration = Duration::from_millis(1);

/// An executor that polls on the thread that waits in [`CurrentThread::block_on`].
#[derive(Debug)]
pub struct CurrentThread {
    local: LocalExecutor,
    executor: Ending,
    arrivals: Arrivals,
}

/// An executor whose blocking jobs end with it.
#[derive(Debug)]
struct Ending(GlommioExecutor);

impl CurrentThread {
    /// An executor for the calling thread; `hook` runs before each blocking job. Threads are placed by the caller.
    ///
    /// # Errors
    /// When the rings could not be made.
    pub fn new(hook: Option<ThreadHook>) -> io::Result<Self> {
        let local = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(IO_MEMORY)
            .ring_depth(RING_DEPTH)
            .preempt_timer(PREEMPT)
            // No blocking threads of glommio's: nothing here uses them, and nobody would join them.
            .blocking_thread_pool_placement(PoolPlacement::Custom(Vec::new()))
            .make()
            .map_err(|error| match error {
                GlommioError::IoError(error) => error,
                error => io::Error::other(error.to_string()),
            })?;
        let (executor, arrivals) = GlommioExecutor::new(TaskQueueHandle::default(), hook);
        Ok(Self { local, executor: Ending(executor), arrivals })
    }

    /// Spawns onto this thread, from any.
    #[must_use]
    pub fn executor(&self) -> GlommioExecutor {
        self.executor.0.clone()
    }

    /// Polls `future` and all tasks until it ends. Then waits for blocking jobs that have started; others are dropped.
    ///
    /// # Panics
    /// When `future` panics, and on a thread that already runs a glommio executor.
    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        let Self { local, executor, arrivals } = self;
        local.run(async {
            glommio::timer::sleep(WARM_UP).await;
            executor.0.run(arrivals, future).await
        })
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close_jobs();
    }
}

//! glommio: one thread, one executor and one set of io_uring rings a shard.

use super::host::{Host, Plan};
use shroud_executor_glommio::{CurrentThread, GlommioExecutor};
use shroud_io_glommio::{GlommioIo, capabilities, pin_thread, probe};
use shroud_runtime::compose::World;
use shroud_runtime::{
    Backend, CancellationToken, Capabilities, Composed, Config, Shard, StartError, TaskError, Unavailable,
};
use std::future::Future;
use std::io;
use std::sync::Arc;

/// What tasks get on glommio. Sockets, files and alarms belong to the shard's thread and panic on another.
pub type GlommioRuntime = Composed<GlommioExecutor, GlommioIo>;

/// `glommio`: nothing is shared between shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glommio;

impl Backend for Glommio {
    type Runtime = GlommioRuntime;

    fn name(&self) -> &'static str {
        "glommio"
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        probe()
    }

    fn run<M, F, T>(&self, config: &Config, main: M) -> Result<Vec<Result<T, TaskError>>, StartError>
    where
        M: Fn(GlommioRuntime) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        // Before glommio tries: it ends the process when an operation is missing.
        let plan = Plan { backend: self.name(), capabilities: self.probe()?, config };
        let hook = plan.thread_hook(pin_thread);
        let start = || {
            let thread = CurrentThread::new(hook.clone())?;
            let io = GlommioIo::new(Arc::new(thread.executor()));
            Ok((ShardHost { thread, io: io.clone() }, io))
        };
        plan.run_per_core(hook.as_ref(), start, main)
    }
}

/// The seam on the glommio executor that runs the calling task; nothing is started.
///
/// Tasks belong to the returned value's tree. Ask them to stop through
/// [`Runtime::stopping`](shroud_runtime::Runtime::stopping), whose token the caller may cancel, and wait for them with
/// [`Tree::shut_down`](shroud_runtime::task::Tree::shut_down); or run a whole node by [`Composed::run_main`].
///
/// # Errors
/// When no UDP socket can be made, to try what it can do.
///
/// # Panics
/// Outside of a task of a glommio executor.
pub fn attach() -> io::Result<GlommioRuntime> {
    let executor = GlommioExecutor::current();
    let io = GlommioIo::new(Arc::new(executor.clone()));
    let world = World::new(CancellationToken::new());
    Ok(Composed::new("glommio", executor, io, Shard::single(), capabilities()?, &world))
}

/// A shard's thread, which ends when the kernel is done with its operations.
struct ShardHost {
    thread: CurrentThread,
    io: GlommioIo,
}

impl Host for ShardHost {
    type Executor = GlommioExecutor;

    fn executor(&self) -> GlommioExecutor {
        self.thread.executor()
    }

    fn block_on<F: Future>(self, future: F) -> F::Output {
        let Self { thread, io } = self;
        thread.block_on(async {
            let output = future.await;
            io.settle().await;
            output
        })
    }
}

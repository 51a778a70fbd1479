//! From an executor and an I/O adapter to a running node, the same for all readiness backends.

use shroud_runtime::compose::World;
use shroud_runtime::{Capabilities, Composed, Config, Executor, Io, Shard, StartError, TaskError, Topology};
use std::future::Future;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

/// Places a thread: worker `Some(index)`, or a blocking thread.
pub(super) type ThreadHook = Arc<dyn Fn(Option<usize>) -> io::Result<()> + Send + Sync>;

/// An executor that was started for a node, on one shard.
pub(super) trait Host {
    /// What spawns on it.
    type Executor: Executor;

    /// Spawns on it, from any thread.
    fn executor(&self) -> Self::Executor;

    /// Drives `future` to its end and takes the executor down.
    fn block_on<F: Future>(self, future: F) -> F::Output;
}

/// A node that is to be run.
pub(super) struct Plan<'a> {
    pub(super) backend: &'static str,
    pub(super) capabilities: Capabilities,
    pub(super) config: &'a Config,
}

/// One result a shard, in shard order.
pub(super) type Results<T> = Result<Vec<Result<T, TaskError>>, StartError>;

impl Plan<'_> {
    /// Places threads as [`Config::cpus`] asks; `None` when it does not.
    pub(super) fn thread_hook(&self, pin: fn(&[usize]) -> io::Result<()>) -> Option<ThreadHook> {
        let cpus = self.config.cpus.clone();
        if cpus.is_empty() {
            return None;
        }
        Some(Arc::new(move |worker| match worker.and_then(|index| cpus.get(index % cpus.len())) {
            Some(cpu) => pin(&[*cpu]),
            // Blocking threads share all of the node's CPUs, not the one of whoever started them.
            None => pin(&cpus),
        }))
    }

    /// Runs `main` on the one shard of a work-stealing node.
    pub(super) fn run_one<H, I, M, F, T>(self, host: H, io: I, main: M) -> Results<T>
    where
        H: Host,
        I: Io,
        M: Fn(Composed<H::Executor, I>) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let shard =
            Shard { index: 0, count: 1, workers: self.config.cores.get(), topology: Topology::WorkStealing };
        let world = World::new(self.config.stop.clone());
        let runtime = Composed::new(self.backend, host.executor(), io, shard, self.capabilities, &world);
        Ok(vec![host.block_on(run_main(runtime, self.config, main))])
    }

    /// Runs `main` on each shard of a per-core node, on a thread of its own. `start` makes shard `index` there.
    pub(super) fn run_per_core<H, I, M, F, T>(
        self,
        hook: Option<&ThreadHook>,
        start: impl Fn() -> io::Result<(H, I)> + Sync,
        main: M,
    ) -> Results<T>
    where
        H: Host,
        I: Io,
        M: Fn(Composed<H::Executor, I>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let count = self.config.cores.get();
        let world = World::new(self.config.stop.clone());
        let start = |index| {
            if let Some(hook) = hook {
                hook(Some(index))?;
            }
            let (host, io) = start()?;
            let shard = Shard { index, count, workers: 1, topology: Topology::PerCore };
            let capabilities = self.capabilities.clone();
            let runtime = Composed::new(self.backend, host.executor(), io, shard, capabilities, &world);
            Ok((host, runtime))
        };
        run_threads(count, start, |(host, runtime)| {
            host.block_on(run_main(runtime, self.config, main.clone()))
        })
    }
}

/// Runs `main` inside a task, so that a panic before its first await is the task's as well.
async fn run_main<E, I, M, F, T>(runtime: Composed<E, I>, config: &Config, main: M) -> Result<T, TaskError>
where
    E: Executor,
    I: Io,
    M: Fn(Composed<E, I>) -> F + Send + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    runtime.run_main(config, move |runtime| async move { main(runtime).await }).await
}

/// Runs `body` on `count` threads named `shroud-0`, `shroud-1`, and so on, once `start` has succeeded on all of them;
/// when one fails, none runs. Both happen on the thread itself, and the threads start in order.
fn run_threads<S, T: Send>(
    count: usize,
    start: impl Fn(usize) -> io::Result<S> + Sync,
    body: impl Fn(S) -> Result<T, TaskError> + Sync,
) -> Results<T> {
    let (start, body) = (&start, &body);
    thread::scope(|scope| {
        let mut threads = Vec::with_capacity(count);
        for index in 0..count {
            let (report, reported) = mpsc::sync_channel(1);
            let (go, gone) = mpsc::channel::<()>();
            let shard = move || {
                let started = start(index);
                let (result, started) = match started {
                    Ok(started) => (Ok(()), Some(started)),
                    Err(error) => (Err(error), None),
                };
                let _ = report.send(result);
                // The sender is dropped unused when another shard failed.
                gone.recv().ok()?;
                started.map(body)
            };
            // On an error the senders of the threads so far are dropped, which ends them.
            let thread = thread::Builder::new().name(format!("shroud-{index}")).spawn_scoped(scope, shard)?;
            reported
                .recv()
                .map_err(|_| io::Error::other(format!("shard {index} panicked while starting")))??;
            threads.push((go, thread));
        }
        for (go, _) in &threads {
            // The receiver waits for this and nothing else.
            let _ = go.send(());
        }
        let join = |thread: thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(Some(result)) => result,
            Ok(None) => Err(TaskError::Cancelled),
            Err(_) => Err(TaskError::Panicked("the shard's executor panicked".to_owned())),
        };
        Ok(threads.into_iter().map(|(_, thread)| join(thread)).collect())
    })
}

//! A node's shards: their start, their threads and their end.

use crate::executor::GlommioExecutor;
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};
use shroud_runtime::compose::World;
use shroud_runtime::{Capabilities, Composed, Config, Io, Shard, StartError, TaskError, Topology};
use std::future::Future;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// Memory that a shard registers with its three rings, in bytes: the least glommio takes. It is locked three times over,
/// so that the usual limit of 8 MiB is enough for 40 shards; larger file reads use memory that is not registered.
const IO_MEMORY: usize = 64 << 10;
/// Entries of each of a shard's rings.
const RING_DEPTH: usize = 128;
/// How long a shard polls ready tasks before it looks at its rings and timers again. glommio's default of 100 ms would
/// be the delay of every event on a busy shard; a look costs about 10 us.
const PREEMPT: Duration = Duration::from_millis(1);
/// An executor's first timer can be late by tens of milliseconds: this one is, before `main` starts.
const WARM_UP: Duration = Duration::from_millis(1);

/// Starts one shard for each of [`Config::cores`], runs `main` on each to its end, and ends all threads. What
/// [`shroud_runtime::Backend::run`] promises holds.
///
/// `make_io` makes a shard's I/O on its thread; `settle` waits until that I/O has nothing left in flight, after the
/// last task.
///
/// # Errors
/// [`StartError`] when a thread or a ring could not be made; nothing is running then.
pub fn run<I, P, S, M, F, T>(
    config: &Config,
    name: &'static str,
    capabilities: &Capabilities,
    make_io: P,
    settle: S,
    main: M,
) -> Result<Vec<Result<T, TaskError>>, StartError>
where
    I: Io,
    P: Fn(&GlommioExecutor) -> I + Clone + Send + 'static,
    S: AsyncFn(&I) + Clone + Send + 'static,
    M: Fn(Composed<GlommioExecutor, I>) -> F + Clone + Send + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let world = World::new(config.stop.clone());
    let count = config.cores.get();
    let (ready, readiness) = mpsc::channel();
    let mut shards = Vec::with_capacity(count);
    let mut failure = None;
    for index in 0..count {
        let (go, start) = mpsc::channel::<()>();
        let shard = Shard { index, count, workers: 1, topology: Topology::PerCore };
        let (config, world, capabilities) = (config.clone(), Arc::clone(&world), capabilities.clone());
        let (make_io, settle, main, ready) = (make_io.clone(), settle.clone(), main.clone(), ready.clone());
        let body = move || {
            let local = match make_executor(&config, index) {
                Ok(local) => local,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return None;
                }
            };
            let _ = ready.send(Ok(()));
            drop(ready);
            // Another shard could not be made.
            start.recv().ok()?;
            Some(local.run(async {
                glommio::timer::sleep(WARM_UP).await;
                let executor = GlommioExecutor::current();
                let io = make_io(&executor);
                let runtime = Composed::new(name, executor.clone(), io.clone(), shard, capabilities, &world);
                let result = runtime.run_main(&config, main).await;
                executor.close().await;
                settle(&io).await;
                result
            }))
        };
        match thread::Builder::new().name(format!("shroud-{index}")).spawn(body) {
            Ok(thread) => shards.push((thread, go)),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    drop(ready);
    // One answer from each thread; one that panicked gives none, and the channel ends.
    for _ in 0..shards.len() {
        match readiness.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failure = failure.or(Some(error)),
            Err(_) => failure = failure.or_else(|| Some(io::Error::other("a shard's thread panicked"))),
        }
    }
    let threads: Vec<_> = shards
        .into_iter()
        .map(|(thread, go)| {
            if failure.is_none() {
                let _ = go.send(());
            }
            thread
        })
        .collect();
    let results = threads.into_iter().map(|thread| match thread.join() {
        Ok(result) => result.unwrap_or(Err(TaskError::Cancelled)),
        Err(_) => Err(TaskError::Panicked("the shard's own thread".into())),
    });
    let results = results.collect();
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(results),
    }
}

/// Makes the executor of one shard, on its thread, and pins the thread when asked for.
fn make_executor(config: &Config, index: usize) -> io::Result<LocalExecutor> {
    let cpu = index.checked_rem(config.cpus.len()).and_then(|at| config.cpus.get(at));
    LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, |cpu| Placement::Fixed(*cpu)))
        .io_memory(IO_MEMORY)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT)
        // No blocking threads of glommio's: nothing here uses them, and nobody would join them.
        .blocking_thread_pool_placement(PoolPlacement::Custom(Vec::new()))
        .make()
        .map_err(|error| match error {
            GlommioError::IoError(error) => error,
            error => io::Error::other(error.to_string()),
        })
}

//! Tokio: its executor and its reactor.

use super::host::{Host, Plan};
use shroud_executor_tokio::{CurrentThread, MultiThread, Reactor, TokioExecutor};
use shroud_io_tokio::{TokioIo, pin_thread, probe_datagram};
use shroud_runtime::compose::World;
use shroud_runtime::{
    Backend, CancellationToken, Capabilities, Composed, Config, Shard, StartError, TaskError, Topology,
    Unavailable,
};
use std::future::Future;
use std::sync::Arc;

/// What tasks get on Tokio.
pub type TokioRuntime = Composed<TokioExecutor, TokioIo>;

/// `tokio`: one shard, whose tasks move between worker threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokio;

/// `tokio-per-core`: one single-threaded Tokio a shard, each with a reactor of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokioPerCore;

impl Backend for Tokio {
    type Runtime = TokioRuntime;

    fn name(&self) -> &'static str {
        "tokio"
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        capabilities(Topology::WorkStealing)
    }

    fn run<M, F, T>(&self, config: &Config, main: M) -> Result<Vec<Result<T, TaskError>>, StartError>
    where
        M: Fn(TokioRuntime) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let plan = Plan { backend: self.name(), capabilities: self.probe()?, config };
        let host = MultiThread::start(config.cores, Reactor::Own, plan.thread_hook(pin_thread))?;
        let io = io_of(&host.executor());
        plan.run_one(host, io, main)
    }
}

impl Backend for TokioPerCore {
    type Runtime = TokioRuntime;

    fn name(&self) -> &'static str {
        "tokio-per-core"
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        capabilities(Topology::PerCore)
    }

    fn run<M, F, T>(&self, config: &Config, main: M) -> Result<Vec<Result<T, TaskError>>, StartError>
    where
        M: Fn(TokioRuntime) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let plan = Plan { backend: self.name(), capabilities: self.probe()?, config };
        let hook = plan.thread_hook(pin_thread);
        let start = || {
            let host = CurrentThread::new(hook.clone())?;
            let io = io_of(&host.executor());
            Ok((host, io))
        };
        plan.run_per_core(hook.as_ref(), start, main)
    }
}

/// The seam on the Tokio runtime that this is called in, for a program that has one already; nothing is started.
///
/// Tasks belong to the returned value's tree. Ask them to stop through
/// [`Runtime::stopping`](shroud_runtime::Runtime::stopping), whose token the caller may cancel, and wait for them with
/// [`Tree::shut_down`](shroud_runtime::task::Tree::shut_down); or run a whole node by [`Composed::run_main`].
///
/// The runtime must have its I/O and time drivers enabled, as `#[tokio::main]` does; using one without panics.
///
/// # Errors
/// [`StartError::Unavailable`] outside a Tokio runtime.
pub fn attach() -> Result<TokioRuntime, StartError> {
    let executor =
        TokioExecutor::current().map_err(|error| Unavailable(format!("no Tokio runtime: {error}")))?;
    let (topology, workers) = match executor.handle().runtime_flavor() {
        ::tokio::runtime::RuntimeFlavor::CurrentThread => (Topology::PerCore, 1),
        _ => (Topology::WorkStealing, executor.handle().metrics().num_workers()),
    };
    let shard = Shard { index: 0, count: 1, workers, topology };
    let io = io_of(&executor);
    let world = World::new(CancellationToken::new());
    Ok(Composed::new("tokio", executor, io, shard, capabilities(topology)?, &world))
}

fn io_of(executor: &TokioExecutor) -> TokioIo {
    TokioIo::new(executor.handle().clone(), Arc::new(executor.clone()))
}

fn capabilities(topology: Topology) -> Result<Capabilities, Unavailable> {
    let (executor, reactor) = match topology {
        Topology::PerCore => ("tokio 1 (current-thread)", "epoll (tokio, one a shard)"),
        _ => ("tokio 1 (multi-thread)", "epoll (tokio)"),
    };
    let datagram = probe_datagram().map_err(|error| Unavailable(format!("no UDP socket: {error}")))?;
    Ok(Capabilities { topology, executor, reactor, files: "blocking pool", datagram })
}

impl Host for MultiThread {
    type Executor = TokioExecutor;

    fn executor(&self) -> TokioExecutor {
        self.executor()
    }

    fn block_on<F: Future>(self, future: F) -> F::Output {
        self.block_on(future)
    }
}

impl Host for CurrentThread {
    type Executor = TokioExecutor;

    fn executor(&self) -> TokioExecutor {
        self.executor()
    }

    fn block_on<F: Future>(self, future: F) -> F::Output {
        self.block_on(future)
    }
}

//! smol: async-executor and async-io's reactor.

use super::host::{Host, Plan};
use shroud_executor_smol::{CurrentThread, MultiThread, SmolExecutor};
use shroud_io_async::{AsyncIo, pin_thread, probe_datagram, start_reactor};
use shroud_runtime::compose::World;
use shroud_runtime::{
    Backend, CancellationToken, Capabilities, Composed, Config, DatagramCapabilities, Shard, StartError,
    TaskError, Topology, Unavailable,
};
use std::future::Future;
use std::sync::Arc;

/// What UDP is without any offload: the least that a socket can do.
const PLAIN_DATAGRAMS: DatagramCapabilities =
    DatagramCapabilities { send_segments: 1, receive_segments: 1, ecn: false, may_fragment: true };

/// What tasks get on smol.
pub type SmolRuntime = Composed<SmolExecutor, AsyncIo>;

/// `smol`: one shard, whose tasks move between worker threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Smol;

/// `smol-per-core`: one executor and one thread a shard. The shards share the process's one reactor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SmolPerCore;

impl Backend for Smol {
    type Runtime = SmolRuntime;

    fn name(&self) -> &'static str {
        "smol"
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        probe(Topology::WorkStealing)
    }

    fn run<M, F, T>(&self, config: &Config, main: M) -> Result<Vec<Result<T, TaskError>>, StartError>
    where
        M: Fn(SmolRuntime) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let plan = Plan { backend: self.name(), capabilities: self.probe()?, config };
        start_reactor();
        let host = MultiThread::start(config.cores, plan.thread_hook(pin_thread))?;
        let io = AsyncIo::new(Arc::new(host.executor()));
        plan.run_one(host, io, main)
    }
}

impl Backend for SmolPerCore {
    type Runtime = SmolRuntime;

    fn name(&self) -> &'static str {
        "smol-per-core"
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        probe(Topology::PerCore)
    }

    fn run<M, F, T>(&self, config: &Config, main: M) -> Result<Vec<Result<T, TaskError>>, StartError>
    where
        M: Fn(SmolRuntime) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let plan = Plan { backend: self.name(), capabilities: self.probe()?, config };
        start_reactor();
        let hook = plan.thread_hook(pin_thread);
        let start = || {
            let host = CurrentThread::new(hook.clone());
            let io = AsyncIo::new(Arc::new(host.executor()));
            Ok((host, io))
        };
        plan.run_per_core(hook.as_ref(), start, main)
    }
}

/// The seam on an `async_executor::Executor` that the program runs itself (`Arc` of one, or `&'static`); nothing is
/// started, and tasks are polled only while the program runs that executor.
///
/// Tasks belong to the returned value's tree. Ask them to stop through
/// [`Runtime::stopping`](shroud_runtime::Runtime::stopping), whose token the caller may cancel, and wait for them with
/// [`Tree::shut_down`](shroud_runtime::task::Tree::shut_down); or run a whole node by [`Composed::run_main`].
pub fn attach(executor: impl Into<SmolExecutor>) -> SmolRuntime {
    let executor = executor.into();
    // How many threads run the executor, only the program knows.
    let shard = Shard { index: 0, count: 1, workers: 1, topology: Topology::WorkStealing };
    let io = AsyncIo::new(Arc::new(executor.clone()));
    let datagram = probe_datagram().unwrap_or(PLAIN_DATAGRAMS);
    let world = World::new(CancellationToken::new());
    Composed::new("smol", executor, io, shard, capabilities(Topology::WorkStealing, datagram), &world)
}

fn probe(topology: Topology) -> Result<Capabilities, Unavailable> {
    let datagram = probe_datagram().map_err(|error| Unavailable(format!("no UDP socket: {error}")))?;
    Ok(capabilities(topology, datagram))
}

fn capabilities(topology: Topology, datagram: DatagramCapabilities) -> Capabilities {
    let executor = match topology {
        Topology::PerCore => "async-executor (one a thread)",
        _ => "async-executor (work-stealing)",
    };
    let reactor = "epoll (async-io, one a process)";
    Capabilities { topology, executor, reactor, files: "blocking pool", datagram }
}

impl Host for MultiThread {
    type Executor = SmolExecutor;

    fn executor(&self) -> SmolExecutor {
        self.executor()
    }

    fn block_on<F: Future>(self, future: F) -> F::Output {
        self.block_on(future)
    }
}

impl Host for CurrentThread {
    type Executor = SmolExecutor;

    fn executor(&self) -> SmolExecutor {
        self.executor()
    }

    fn block_on<F: Future>(self, future: F) -> F::Output {
        self.block_on(future)
    }
}

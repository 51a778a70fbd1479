//! The matched control: Tokio's executor on async-io's reactor.
//!
//! Beside `tokio` it differs in the reactor alone, beside `smol` in the executor alone, so it tells how much of a
//! difference between those two is whose. Tokio's workers do not drive a foreign reactor while they are idle: its helper
//! thread does, and each event is handed over between threads. That is part of this pairing's price, not an accident.

use super::host::Plan;
use shroud_executor_tokio::{MultiThread, Reactor, TokioExecutor};
use shroud_io_async::{AsyncIo, pin_thread, probe_datagram, start_reactor};
use shroud_runtime::{Backend, Capabilities, Composed, Config, StartError, TaskError, Topology, Unavailable};
use std::future::Future;
use std::sync::Arc;

/// `tokio+async-io`: one shard, whose tasks move between Tokio's worker threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokioAsyncIo;

impl Backend for TokioAsyncIo {
    type Runtime = Composed<TokioExecutor, AsyncIo>;

    fn name(&self) -> &'static str {
        "tokio+async-io"
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        let datagram = probe_datagram().map_err(|error| Unavailable(format!("no UDP socket: {error}")))?;
        Ok(Capabilities {
            topology: Topology::WorkStealing,
            executor: "tokio 1 (multi-thread)",
            reactor: "epoll (async-io, on a thread of its own)",
            files: "blocking pool",
            datagram,
        })
    }

    fn run<M, F, T>(&self, config: &Config, main: M) -> Result<Vec<Result<T, TaskError>>, StartError>
    where
        M: Fn(Self::Runtime) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let plan = Plan { backend: self.name(), capabilities: self.probe()?, config };
        start_reactor();
        let host = MultiThread::start(config.cores, Reactor::Foreign, plan.thread_hook(pin_thread))?;
        let io = AsyncIo::new(Arc::new(host.executor()));
        plan.run_one(host, io, main)
    }
}

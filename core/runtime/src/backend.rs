//! How a backend is probed, started and stopped.

use crate::flow::cancel::CancellationToken;
use crate::net::DatagramCapabilities;
use crate::runtime::Runtime;
use crate::shard::Topology;
use crate::task::TaskError;
use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

/// What a backend is and can do on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Threads and shards.
    pub topology: Topology,
    /// Who polls, e.g. `tokio 1 (multi-thread)`.
    pub executor: &'static str,
    /// Who waits for the kernel, e.g. `epoll`, `io_uring`.
    pub reactor: &'static str,
    /// How file operations run, e.g. `blocking pool`, `io_uring`.
    pub files: &'static str,
    /// What UDP sockets can do.
    pub datagram: DatagramCapabilities,
}

/// Why a backend cannot run on this machine, in one clear line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// A backend could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// This machine cannot run it.
    #[error("the backend cannot run here: {0}")]
    Unavailable(#[from] Unavailable),
    /// A thread, reactor or ring could not be made.
    #[error("starting the backend failed: {0}")]
    Io(#[from] std::io::Error),
}

/// How to start a backend.
#[derive(Debug, Clone)]
pub struct Config {
    /// Worker threads (work-stealing) or shards (per-core). Default: the machine's parallelism.
    pub cores: NonZeroUsize,
    /// Pin thread `i` to `cpus[i % len]`; not pinned when empty.
    pub cpus: Vec<usize>,
    /// Cancelling it asks the node to stop.
    pub stop: CancellationToken,
    /// How long a main future may go on after the stop was asked for; then it is cancelled.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cores: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            cpus: Vec::new(),
            stop: CancellationToken::new(),
            drain: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// One thread, or one shard.
    #[must_use]
    pub fn single() -> Self {
        Self { cores: NonZeroUsize::MIN, ..Self::default() }
    }

    /// As given, on so many cores; zero counts as one.
    #[must_use]
    pub fn cores(self, cores: usize) -> Self {
        Self { cores: NonZeroUsize::new(cores).unwrap_or(NonZeroUsize::MIN), ..self }
    }
}

/// A backend: the only thing that an application names to choose one.
pub trait Backend: Clone + Send + Sync + 'static {
    /// What tasks get.
    type Runtime: Runtime;

    /// The name on the command line and in reports, e.g. `tokio-per-core`.
    fn name(&self) -> &'static str;

    /// Tries what the backend needs, without side effects that stay.
    ///
    /// # Errors
    /// [`Unavailable`] with one line that says why it cannot run here.
    fn probe(&self) -> Result<Capabilities, Unavailable>;

    /// Starts the node's shards, runs `main` once on each to its end, and takes everything down again: tasks that are
    /// still alive are cancelled, and all threads have ended when this returns. Results come in shard order.
    ///
    /// When [`Config::stop`] is cancelled, a `main` that has not returned [`Config::drain`] later is cancelled too.
    ///
    /// # Errors
    /// [`StartError`] when a shard could not be started; none of them is running then.
    fn run<M, F, T>(&self, config: &Config, main: M) -> Result<Vec<Result<T, TaskError>>, StartError>
    where
        M: Fn(Self::Runtime) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static;

    /// Runs one future to its end on a single thread or shard: the bridge for synchronous callers.
    ///
    /// # Errors
    /// [`StartError`] as [`Backend::run`]; a panic or cancellation of `main` as [`TaskError`] inside.
    fn block_on<M, F, T>(&self, main: M) -> Result<Result<T, TaskError>, StartError>
    where
        M: FnOnce(Self::Runtime) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let once = std::sync::Arc::new(std::sync::Mutex::new(Some(main)));
        let mut results = self.run(&Config::single(), move |runtime| {
            let main = once.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            async move {
                match main {
                    Some(main) => Some(main(runtime).await),
                    None => None,
                }
            }
        })?;
        let result = results.pop().unwrap_or(Err(TaskError::Cancelled));
        Ok(result.and_then(|value| value.ok_or(TaskError::Cancelled)))
    }
}

//! A backend as the product of who polls and who waits for the kernel.

use crate::backend::{Capabilities, Config};
use crate::file::{BlockFile, OpenOptions};
use crate::flow::cancel::CancellationToken;
use crate::net::{ByteStream, ConnectOptions, Datagram, DatagramOptions, ListenOptions, Listener};
use crate::runtime::{Lost, Runtime, RuntimeExt};
use crate::shard::Shard;
use crate::sync::oneshot;
use crate::task::{Class, Supervised, Task, TaskError, Tree};
use crate::time::Alarm;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// A blocking job.
pub type Job = Box<dyn FnOnce() + Send>;

/// A blocking job, and what tells its caller of the result.
pub type TimedJob = Box<dyn FnOnce() -> Job + Send>;

/// Threads for blocking jobs.
pub trait Offload: Send + Sync + 'static {
    /// Runs `job` on a blocking thread, or drops it when the pool has shut down. Jobs do not panic.
    fn run_blocking(&self, job: Job);

    /// Runs `job` in the same way, and what it gives back once the time that it took has passed. On a thread that is at
    /// once; in virtual time nothing passes by itself.
    fn run_blocking_timed(&self, job: TimedJob) {
        self.run_blocking(Box::new(move || job()()));
    }
}

/// Who polls: the whole of what an executor must do. Names, cancellation, panics and statistics are the seam's.
pub trait Executor: Offload + Clone {
    /// Polls `task` until it ends. Dropping the executor drops tasks that have not ended. May be called from any
    /// thread; on a per-core executor the task then still runs on the executor's own thread.
    fn execute<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static;

    /// Wakes a task of this thread once others have had their turn: as far as the executor can, once it has seen what the kernel
    /// has ready. Until then the queue may run empty. `None`: tasks that give way are woken at once.
    const DEFER: Option<fn(&Waker)> = None;
}

/// Who waits for the kernel: clock, entropy, timers, sockets, files. The verbs mean what [`Runtime`] says.
#[allow(missing_docs, reason = "each verb is documented at its namesake in `Runtime`")]
pub trait Io: Clone + Send + Sync + 'static {
    type Stream: ByteStream;
    type Listener: Listener<Stream = Self::Stream>;
    type Socket: Datagram;
    type File: BlockFile;
    type Alarm: Alarm;

    fn now(&self) -> Instant;
    fn unix_time(&self) -> Duration;
    fn fill(&self, out: &mut [u8]);
    fn alarm(&self) -> Self::Alarm;
    fn process_id(&self) -> u32 {
        std::process::id()
    }
    fn listen(
        &self,
        address: SocketAddr,
        options: ListenOptions,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send;
    fn connect(
        &self,
        address: SocketAddr,
        options: ConnectOptions,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;
    fn bind(
        &self,
        address: SocketAddr,
        options: DatagramOptions,
    ) -> impl Future<Output = io::Result<Self::Socket>> + Send;
    fn lookup(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
    fn open(&self, path: &Path, options: OpenOptions) -> impl Future<Output = io::Result<Self::File>> + Send;
    fn read_dir(&self, path: &Path) -> impl Future<Output = io::Result<Vec<PathBuf>>> + Send;
    fn create_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + Send;
    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;
    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;
}

/// What the shards of one node share.
#[derive(Debug)]
pub struct World {
    trees: Mutex<Vec<Arc<Tree>>>,
    stop: CancellationToken,
}

impl World {
    /// A node's shared part; cancelling `stop` asks all its shards to stop.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { trees: Mutex::new(Vec::new()), stop })
    }
}

/// An [`Executor`] and an [`Io`], as one [`Runtime`].
pub struct Composed<E, I> {
    shared: Arc<Shared<E, I>>,
}

struct Shared<E, I> {
    executor: E,
    io: I,
    backend: &'static str,
    shard: Shard,
    capabilities: Capabilities,
    tree: Arc<Tree>,
    world: Arc<World>,
}

impl<E, I> Clone for Composed<E, I> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E, I> std::fmt::Debug for Composed<E, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Composed")
            .field("backend", &self.shared.backend)
            .field("shard", &self.shared.shard)
            .finish_non_exhaustive()
    }
}

impl<E: Executor, I: Io> Composed<E, I> {
    /// One shard's runtime.
    #[must_use]
    pub fn new(
        backend: &'static str,
        executor: E,
        io: I,
        shard: Shard,
        capabilities: Capabilities,
        world: &Arc<World>,
    ) -> Self {
        let tree = Arc::new(Tree::new(backend, shard));
        let world = Arc::clone(world);
        world.trees.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tree));
        Self { shared: Arc::new(Shared { executor, io, backend, shard, capabilities, tree, world }) }
    }

    /// Runs a shard's `main` to its end, then ends all tasks that are left: what [`crate::Backend::run`] does on each
    /// shard inside the executor's own `block_on`. Also for embedding in a program that runs its own executor.
    ///
    /// # Errors
    /// [`TaskError`] when `main` panicked, or was cancelled [`Config::drain`] after the stop was asked for.
    pub async fn run_main<M, F, T>(self, config: &Config, main: M) -> Result<T, TaskError>
    where
        M: FnOnce(Self) -> F,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let mut task = self.spawn("main", main(self.clone()));
        let stop = self.stopping();
        let overdue = pin!(async {
            stop.cancelled().await;
            self.sleep(config.drain).await;
        });
        let result = match futures_util::future::select(&mut task, overdue).await {
            futures_util::future::Either::Left((result, _)) => result,
            futures_util::future::Either::Right(((), _)) => {
                tracing::warn!(backend = self.shared.backend, drain = ?config.drain, "drain deadline passed");
                task.cancel().await
            }
        };
        self.shared.tree.shut_down().await;
        result
    }

    /// The half that waits for the kernel, for what only one kind of it can do.
    pub fn io(&self) -> &I {
        &self.shared.io
    }

    fn start<F>(&self, name: &'static str, class: Option<Class>, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let cell = self.shared.tree.enter(name, class);
        let supervised = Supervised::new(task, self.shared.io.clone(), Arc::clone(&cell), E::DEFER);
        self.shared.executor.execute(supervised);
        Task::new(cell)
    }
}

impl<E: Executor, I: Io> Runtime for Composed<E, I> {
    type Stream = I::Stream;
    type Listener = I::Listener;
    type Socket = I::Socket;
    type File = I::File;
    type Alarm = I::Alarm;

    fn backend(&self) -> &'static str {
        self.shared.backend
    }

    fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    fn shard(&self) -> Shard {
        self.shared.shard
    }

    fn now(&self) -> Instant {
        self.shared.io.now()
    }

    fn unix_time(&self) -> Duration {
        self.shared.io.unix_time()
    }

    fn fill(&self, out: &mut [u8]) {
        self.shared.io.fill(out);
    }

    fn alarm(&self) -> I::Alarm {
        self.shared.io.alarm()
    }

    fn process_id(&self) -> u32 {
        self.shared.io.process_id()
    }

    fn spawn<F>(&self, name: &'static str, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        self.start(name, None, task)
    }

    fn spawn_in<F>(&self, class: Class, name: &'static str, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        self.start(name, Some(class), task)
    }

    fn offload<J, T>(&self, job: J) -> impl Future<Output = Result<T, Lost>> + Send
    where
        J: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        offload(&self.shared.executor, job)
    }

    fn listen(
        &self,
        address: SocketAddr,
        options: ListenOptions,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send {
        self.shared.io.listen(address, options)
    }

    fn connect(
        &self,
        address: SocketAddr,
        options: ConnectOptions,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send {
        self.shared.io.connect(address, options)
    }

    fn bind(
        &self,
        address: SocketAddr,
        options: DatagramOptions,
    ) -> impl Future<Output = io::Result<Self::Socket>> + Send {
        self.shared.io.bind(address, options)
    }

    fn lookup(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        self.shared.io.lookup(host, port)
    }

    fn open(&self, path: &Path, options: OpenOptions) -> impl Future<Output = io::Result<Self::File>> + Send {
        self.shared.io.open(path, options)
    }

    fn read_dir(&self, path: &Path) -> impl Future<Output = io::Result<Vec<PathBuf>>> + Send {
        self.shared.io.read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send {
        self.shared.io.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + Send {
        self.shared.io.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send {
        self.shared.io.remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send {
        self.shared.io.sync_dir(path)
    }

    fn stopping(&self) -> CancellationToken {
        self.shared.world.stop.clone()
    }

    fn tree(&self) -> &Arc<Tree> {
        &self.shared.tree
    }

    fn trees(&self) -> Vec<Arc<Tree>> {
        self.shared.world.trees.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs `job` on `pool` and waits for its result: for [`Runtime::offload`] and for adapters whose files block.
///
/// # Errors
/// [`Lost`] when the job panicked or the pool dropped it.
pub async fn offload<J, T>(pool: &(impl Offload + ?Sized), job: J) -> Result<T, Lost>
where
    J: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    pool.run_blocking_timed(Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(job));
        // A panic drops the sender, which the receiver reports; the pool's thread lives on.
        Box::new(move || {
            if let Ok(value) = result {
                let _ = sender.send(value);
            }
        })
    }));
    receiver.await.map_err(|_| Lost)
}

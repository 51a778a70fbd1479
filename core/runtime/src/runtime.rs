//! The [`Runtime`] trait: all a task may ask of the world.

use crate::backend::Capabilities;
use crate::file::{BlockFile, OpenOptions};
use crate::flow::cancel::CancellationToken;
use crate::net::{ByteStream, ConnectOptions, Datagram, DatagramOptions, ListenOptions, Listener};
use crate::shard::Shard;
use crate::task::{Class, Task, Tree};
use crate::time::{Alarm, Elapsed, Interval, MissedTicks, Sleep, Timeout};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The job given to [`Runtime::offload`] panicked, or its pool shut down before it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the offloaded job panicked or its pool has shut down")]
pub struct Lost;

impl From<Lost> for io::Error {
    fn from(lost: Lost) -> Self {
        io::Error::other(lost)
    }
}

/// All a task may ask of the world. A value is a cheap clone, one per shard.
///
/// Sockets, files and alarms belong to the shard whose runtime made them. On a per-core backend they must not be
/// used from another shard; doing so panics there (a caught bug, never undefined behaviour).
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A TCP connection.
    type Stream: ByteStream;
    /// A TCP listener.
    type Listener: Listener<Stream = Self::Stream>;
    /// A UDP socket.
    type Socket: Datagram;
    /// A file addressed by offset.
    type File: BlockFile;
    /// A re-armable timer.
    type Alarm: Alarm;

    /// The backend's name, as `shroud backends` prints it.
    fn backend(&self) -> &'static str;

    /// What this backend can do on this machine.
    fn capabilities(&self) -> &Capabilities;

    /// This runtime's shard.
    fn shard(&self) -> Shard;

    /// Monotonic time; virtual in the simulator.
    fn now(&self) -> Instant;

    /// Wall-clock time since the Unix epoch; virtual in the simulator.
    fn unix_time(&self) -> Duration;

    /// Fills `out` with entropy fit for keys; seeded in the simulator.
    fn fill(&self, out: &mut [u8]);

    /// A new alarm, disarmed.
    fn alarm(&self) -> Self::Alarm;

    /// The number of this process on its machine; in the simulator, of this run on its host.
    fn process_id(&self) -> u32 {
        std::process::id()
    }

    /// Starts a task as a child of the current one (of the shard's root outside any task) and in its class.
    ///
    /// The task is cancelled when the handle is dropped, unless [`Task::detach`] was called, and it never outlives
    /// its parent. A panic inside it ends this task alone and is reported by the handle.
    fn spawn<F>(&self, name: &'static str, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send;

    /// As [`Runtime::spawn`], in a class of its own for the metrics.
    fn spawn_in<F>(&self, class: Class, name: &'static str, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send;

    /// Runs a blocking or heavy job on the backend's blocking threads.
    ///
    /// Cancel safety: dropping the future abandons the result; a job that has started runs to its end.
    ///
    /// # Errors
    /// [`Lost`] when the job panicked or the pool has shut down.
    fn offload<J, T>(&self, job: J) -> impl Future<Output = Result<T, Lost>> + Send
    where
        J: FnOnce() -> T + Send + 'static,
        T: Send + 'static;

    /// Listens for TCP connections. With [`ListenOptions::reuse_port`] each shard may bind the same address.
    ///
    /// # Errors
    /// As `bind(2)` and `listen(2)`.
    fn listen(
        &self,
        address: SocketAddr,
        options: ListenOptions,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects over TCP, in its turn ([`crate::task::poll_long`]). Dropping the future abandons the attempt and closes its socket.
    ///
    /// # Errors
    /// As `connect(2)`.
    fn connect(
        &self,
        address: SocketAddr,
        options: ConnectOptions,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Binds a UDP socket.
    ///
    /// # Errors
    /// As `bind(2)`.
    fn bind(
        &self,
        address: SocketAddr,
        options: DatagramOptions,
    ) -> impl Future<Output = io::Result<Self::Socket>> + Send;

    /// Resolves a host name (or literal address) and port by the system's resolver.
    ///
    /// # Errors
    /// When the name does not resolve.
    fn lookup(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Opens a file. Cancel safety: a file that was being created may exist afterwards.
    ///
    /// # Errors
    /// As `open(2)`.
    fn open(&self, path: &Path, options: OpenOptions) -> impl Future<Output = io::Result<Self::File>> + Send;

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// As `opendir(3)`.
    fn read_dir(&self, path: &Path) -> impl Future<Output = io::Result<Vec<PathBuf>>> + Send;

    /// Creates a directory and its missing parents.
    ///
    /// # Errors
    /// As `mkdir(2)`.
    fn create_dir_all(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Renames a file; durable only after [`Runtime::sync_dir`].
    ///
    /// # Errors
    /// As `rename(2)`.
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Removes a file; durable only after [`Runtime::sync_dir`].
    ///
    /// # Errors
    /// As `unlink(2)`.
    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    /// As `fsync(2)`.
    fn sync_dir(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Cancelled when the node is asked to stop. Accept loops end on it; work in progress may finish until the
    /// drain deadline of [`crate::Config::drain`].
    fn stopping(&self) -> CancellationToken;

    /// This shard's task tree, for statistics and the live dump.
    fn tree(&self) -> &Arc<Tree>;

    /// The task trees of all shards of the node, this one's among them.
    fn trees(&self) -> Vec<Arc<Tree>>;
}

/// The longest that anything waits by duration, about thirty years: no clock or timer of a backend overflows by it.
pub const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// What can be said with a [`Runtime`]'s verbs alone.
pub trait RuntimeExt: Runtime {
    /// Waits for `duration` (at most [`FAR`]). Cancel safe: dropping it disarms the timer.
    fn sleep(&self, duration: Duration) -> Sleep<Self::Alarm> {
        self.sleep_until(self.now() + duration.min(FAR))
    }

    /// Waits until `deadline`; ready at once when it has passed. Cancel safe.
    fn sleep_until(&self, deadline: Instant) -> Sleep<Self::Alarm> {
        Sleep::new(self.alarm(), deadline)
    }

    /// Runs `future` for at most `duration`, then drops it. Exactly as cancel safe as `future`.
    fn timeout<F: Future>(&self, duration: Duration, future: F) -> Timeout<F, Self::Alarm> {
        Timeout::new(future, self.sleep(duration))
    }

    /// Ticks every `period`, first after one period. Ticks that were missed are handled as `missed` says.
    fn interval(&self, period: Duration, missed: MissedTicks) -> Interval<Self> {
        Interval::new(self.clone(), period, missed)
    }

    /// Runs `future` until it ends or the node is asked to stop, whichever is first; `None` means stopped.
    /// On a stop the future is dropped, so it must be cancel safe.
    fn until_stopping<F: Future + Send>(&self, future: F) -> impl Future<Output = Option<F::Output>> + Send
    where
        F::Output: Send,
    {
        let stopping = self.stopping();
        async move { stopping.run_until(future).await }
    }
}

impl<R: Runtime> RuntimeExt for R {}

/// The error of [`RuntimeExt::timeout`].
pub type TimedOut = Elapsed;

//! The [`Io`] of a shard.

use crate::alarm::GlommioTimer;
use crate::file::GlommioFile;
use crate::listener::GlommioListener;
use crate::operation::Tally;
use crate::socket::GlommioSocket;
use crate::stream::GlommioStream;
use send_wrapper::SendWrapper;
use shroud_io_readiness::{LazyAlarm, directory, host};
use shroud_runtime::{Alarm, ConnectOptions, DatagramOptions, Io, ListenOptions, Offload, OpenOptions};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// How often [`GlommioIo::settle`] looks: operations that were given up end within a few of these.
const SETTLE_STEP: Duration = Duration::from_micros(200);

/// glommio's reactor as the seam's [`Io`]. A cheap clone; what it makes belongs to the thread that made it, which must
/// run a glommio executor.
#[derive(Clone)]
pub struct GlommioIo {
    pool: Arc<dyn Offload>,
    tally: Arc<Tally>,
}

impl GlommioIo {
    /// I/O that uses `pool` for what has no ring operation: opening files, directories, name look-up.
    #[must_use]
    pub fn new(pool: Arc<dyn Offload>) -> Self {
        Self { pool, tally: Arc::default() }
    }

    /// Waits until the kernel is done with every operation, also those that nobody waits for any more, and closed files
    /// have been closed. To be called when a shard ends, after its last task.
    pub async fn settle(&self) {
        loop {
            let idle = self.tally.in_flight() == 0;
            // Each turn submits what is queued: cancelled waits, closed files.
            glommio::timer::sleep(SETTLE_STEP).await;
            if idle {
                return;
            }
        }
    }
}

impl std::fmt::Debug for GlommioIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlommioIo").field("in_flight", &self.tally.in_flight()).finish_non_exhaustive()
    }
}

/// A future that belongs to the thread of its first poll, as one that may be sent before that.
async fn pinned<M, F>(make: M) -> F::Output
where
    M: FnOnce() -> F + Send,
    F: Future<Output: Send>,
{
    SendWrapper::new(make()).await
}

impl Io for GlommioIo {
    type Stream = GlommioStream;
    type Listener = GlommioListener;
    type Socket = GlommioSocket;
    type File = GlommioFile;
    type Alarm = LazyAlarm<GlommioTimer>;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_time(&self) -> Duration {
        host::unix_time()
    }

    fn fill(&self, out: &mut [u8]) {
        host::fill(out);
    }

    fn alarm(&self) -> Self::Alarm {
        LazyAlarm::new(GlommioTimer::default())
    }

    async fn listen(&self, address: SocketAddr, options: ListenOptions) -> io::Result<Self::Listener> {
        GlommioListener::bind(address, options)
    }

    fn connect(
        &self,
        address: SocketAddr,
        options: ConnectOptions,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send {
        let mut alarm = self.alarm();
        alarm.set(options.timeout.and_then(|timeout| Instant::now().checked_add(timeout)));
        pinned(move || async move {
            let mut connect = pin!(GlommioStream::connect(address, options));
            poll_fn(|cx| match connect.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => alarm.poll_fired(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            })
            .await
        })
    }

    async fn bind(&self, address: SocketAddr, options: DatagramOptions) -> io::Result<Self::Socket> {
        GlommioSocket::bind(address, options)
    }

    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        host::lookup(&*self.pool, host, port).await
    }

    async fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Self::File> {
        GlommioFile::open(&self.pool, &self.tally, path, options).await
    }

    async fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        directory::read_dir(&*self.pool, path).await
    }

    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        directory::create_dir_all(&*self.pool, path).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        directory::rename(&*self.pool, from, to).await
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        directory::remove_file(&*self.pool, path).await
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        directory::sync_dir(&*self.pool, path).await
    }
}

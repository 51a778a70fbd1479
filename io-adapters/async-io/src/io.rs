//! [`AsyncIo`]: the seam's I/O verbs.

use crate::alarm::{AsyncAlarm, AsyncTimer};
use crate::datagram::AsyncDatagram;
use crate::listener::AsyncListener;
use crate::stream::AsyncStream;
use async_io::Async;
use shroud_io_readiness::{LazyAlarm, PoolFile, alarm, directory, host, tcp, udp};
use shroud_runtime::task::poll_long;
use shroud_runtime::{ConnectOptions, DatagramOptions, Io, ListenOptions, Offload, OpenOptions};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Starts the process's reactor and its helper thread, unless they run already. They start by themselves at the first
/// use, but then inherit the CPU affinity of whichever thread that is.
pub fn start_reactor() {
    async_io::block_on(async {});
}

/// async-io's reactor for sockets and timers, a pool of blocking threads for files and names.
#[derive(Clone)]
pub struct AsyncIo {
    pool: Arc<dyn Offload>,
}

impl AsyncIo {
    /// I/O on the process's reactor, with `pool` for what blocks.
    #[must_use]
    pub fn new(pool: Arc<dyn Offload>) -> Self {
        Self { pool }
    }
}

impl std::fmt::Debug for AsyncIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncIo").finish_non_exhaustive()
    }
}

impl Io for AsyncIo {
    type Stream = AsyncStream;
    type Listener = AsyncListener;
    type Socket = AsyncDatagram;
    type File = PoolFile;
    type Alarm = AsyncAlarm;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_time(&self) -> Duration {
        host::unix_time()
    }

    fn fill(&self, out: &mut [u8]) {
        host::fill(out);
    }

    fn alarm(&self) -> AsyncAlarm {
        LazyAlarm::new(AsyncTimer::new())
    }

    async fn listen(&self, address: SocketAddr, options: ListenOptions) -> io::Result<AsyncListener> {
        Ok(AsyncListener::new(Async::new_nonblocking(tcp::listen(address, options)?)?))
    }

    async fn connect(&self, address: SocketAddr, options: ConnectOptions) -> io::Result<AsyncStream> {
        let connected = async {
            poll_fn(poll_long).await;
            let stream = Async::new_nonblocking(tcp::start_connect(address, options)?)?;
            // Nothing to try before it is writable: an attempt under way shows no error yet.
            stream.writable().await?;
            tcp::finish_connect(&stream)?;
            Ok(AsyncStream::new(stream))
        };
        alarm::within(options.timeout, self.alarm(), connected).await
    }

    async fn bind(&self, address: SocketAddr, options: DatagramOptions) -> io::Result<AsyncDatagram> {
        let (socket, state) = udp::bind(address, options)?;
        Ok(AsyncDatagram::new(Async::new_nonblocking(socket)?, state))
    }

    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        host::lookup(&*self.pool, host, port).await
    }

    async fn open(&self, path: &Path, options: OpenOptions) -> io::Result<PoolFile> {
        PoolFile::open(&self.pool, path, options).await
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

//! [`TokioIo`]: the seam's I/O verbs.

use crate::alarm::{TokioAlarm, TokioTimer};
use crate::datagram::TokioDatagram;
use crate::listener::TokioListener;
use crate::stream::TokioStream;
use shroud_io_readiness::{LazyAlarm, PoolFile, alarm, directory, host, tcp, udp};
use shroud_runtime::task::poll_long;
use shroud_runtime::{ConnectOptions, DatagramOptions, Io, ListenOptions, Offload, OpenOptions};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;

/// Tokio's reactor for sockets and timers, a pool of blocking threads for files and names.
#[derive(Clone)]
pub struct TokioIo {
    shared: Arc<Shared>,
}

struct Shared {
    handle: Handle,
    pool: Arc<dyn Offload>,
}

impl TokioIo {
    /// I/O on the runtime behind `handle`, which must have its I/O and time drivers enabled, with `pool` for what
    /// blocks.
    #[must_use]
    pub fn new(handle: Handle, pool: Arc<dyn Offload>) -> Self {
        Self { shared: Arc::new(Shared { handle, pool }) }
    }

    fn pool(&self) -> &dyn Offload {
        &*self.shared.pool
    }
}

impl std::fmt::Debug for TokioIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokioIo").field("runtime", &self.shared.handle.id()).finish_non_exhaustive()
    }
}

impl Io for TokioIo {
    type Stream = TokioStream;
    type Listener = TokioListener;
    type Socket = TokioDatagram;
    type File = PoolFile;
    type Alarm = TokioAlarm;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_time(&self) -> Duration {
        host::unix_time()
    }

    fn fill(&self, out: &mut [u8]) {
        host::fill(out);
    }

    fn alarm(&self) -> TokioAlarm {
        LazyAlarm::new(TokioTimer::new(self.shared.handle.clone()))
    }

    async fn listen(&self, address: SocketAddr, options: ListenOptions) -> io::Result<TokioListener> {
        let listener = tcp::listen(address, options)?;
        let _runtime = self.shared.handle.enter();
        Ok(TokioListener::new(TcpListener::from_std(listener)?, self.shared.handle.clone()))
    }

    async fn connect(&self, address: SocketAddr, options: ConnectOptions) -> io::Result<TokioStream> {
        let connected = async {
            poll_fn(poll_long).await;
            let stream = {
                let stream = tcp::start_connect(address, options)?;
                let _runtime = self.shared.handle.enter();
                TcpStream::from_std(stream)?
            };
            poll_fn(|cx| stream.poll_write_ready(cx)).await?;
            tcp::finish_connect(&stream)?;
            Ok(TokioStream::new(stream))
        };
        alarm::within(options.timeout, self.alarm(), connected).await
    }

    async fn bind(&self, address: SocketAddr, options: DatagramOptions) -> io::Result<TokioDatagram> {
        let (socket, state) = udp::bind(address, options)?;
        let _runtime = self.shared.handle.enter();
        Ok(TokioDatagram::new(UdpSocket::from_std(socket)?, state))
    }

    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        host::lookup(self.pool(), host, port).await
    }

    async fn open(&self, path: &Path, options: OpenOptions) -> io::Result<PoolFile> {
        PoolFile::open(&self.shared.pool, path, options).await
    }

    async fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        directory::read_dir(self.pool(), path).await
    }

    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        directory::create_dir_all(self.pool(), path).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        directory::rename(self.pool(), from, to).await
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        directory::remove_file(self.pool(), path).await
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        directory::sync_dir(self.pool(), path).await
    }
}

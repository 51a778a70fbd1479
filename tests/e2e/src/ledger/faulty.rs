//! A runtime whose disk can be told to fail. All else is the runtime inside.

use shroud::runtime::backend::Capabilities;
use shroud::runtime::file::{FileStatus, Lent};
use shroud::runtime::task::Tree;
use shroud::runtime::{
    BlockFile, CancellationToken, Class, ConnectOptions, DatagramOptions, ListenOptions, Lost, OpenOptions,
    Runtime, Shard, Task,
};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// What the disk is told.
#[derive(Debug, Default)]
pub struct Faults {
    /// Syncs fail with EIO, after the data was written.
    pub sync: AtomicBool,
    /// Writes fail with ENOSPC.
    pub write: AtomicBool,
}

/// A runtime with a disk that fails on demand.
#[derive(Clone)]
pub struct Faulty<R> {
    inner: R,
    faults: Arc<Faults>,
}

impl<R> Faulty<R> {
    /// Around a runtime.
    pub fn new(inner: R) -> (Self, Arc<Faults>) {
        let faults = Arc::<Faults>::default();
        (Self { inner, faults: Arc::clone(&faults) }, faults)
    }
}

/// A file on the disk that fails on demand.
pub struct FaultyFile<F> {
    inner: F,
    faults: Arc<Faults>,
}

impl<F: BlockFile> BlockFile for FaultyFile<F> {
    async fn read_at(&self, buffer: Vec<u8>, offset: u64) -> Lent<usize> {
        self.inner.read_at(buffer, offset).await
    }

    async fn write_at(&self, buffer: Vec<u8>, offset: u64) -> Lent<()> {
        if self.faults.write.load(SeqCst) {
            return Lent { result: Err(io::ErrorKind::StorageFull.into()), buffer };
        }
        self.inner.write_at(buffer, offset).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        if self.faults.sync.load(SeqCst) {
            return Err(io::Error::other("the disk reports an error"));
        }
        self.inner.sync_data().await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all().await
    }

    async fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        self.inner.allocate(offset, length).await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length).await
    }

    async fn status(&self) -> io::Result<FileStatus> {
        self.inner.status().await
    }

    async fn len(&self) -> io::Result<u64> {
        self.inner.len().await
    }
}

impl<R: Runtime> Runtime for Faulty<R> {
    type Stream = R::Stream;
    type Listener = R::Listener;
    type Socket = R::Socket;
    type File = FaultyFile<R::File>;
    type Alarm = R::Alarm;

    fn backend(&self) -> &'static str {
        self.inner.backend()
    }
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }
    fn shard(&self) -> Shard {
        self.inner.shard()
    }
    fn now(&self) -> Instant {
        self.inner.now()
    }
    fn unix_time(&self) -> Duration {
        self.inner.unix_time()
    }
    fn fill(&self, out: &mut [u8]) {
        self.inner.fill(out);
    }
    fn alarm(&self) -> R::Alarm {
        self.inner.alarm()
    }
    fn spawn<F>(&self, name: &'static str, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        self.inner.spawn(name, task)
    }
    fn spawn_in<F>(&self, class: Class, name: &'static str, task: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        self.inner.spawn_in(class, name, task)
    }
    async fn offload<J, T>(&self, job: J) -> Result<T, Lost>
    where
        J: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.inner.offload(job).await
    }
    async fn listen(&self, address: SocketAddr, options: ListenOptions) -> io::Result<R::Listener> {
        self.inner.listen(address, options).await
    }
    async fn connect(&self, address: SocketAddr, options: ConnectOptions) -> io::Result<R::Stream> {
        self.inner.connect(address, options).await
    }
    async fn bind(&self, address: SocketAddr, options: DatagramOptions) -> io::Result<R::Socket> {
        self.inner.bind(address, options).await
    }
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.inner.lookup(host, port).await
    }
    async fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Self::File> {
        let inner = self.inner.open(path, options).await?;
        Ok(FaultyFile { inner, faults: Arc::clone(&self.faults) })
    }
    async fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.inner.read_dir(path).await
    }
    async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path).await
    }
    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to).await
    }
    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path).await
    }
    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path).await
    }
    fn stopping(&self) -> CancellationToken {
        self.inner.stopping()
    }
    fn tree(&self) -> &Arc<Tree> {
        self.inner.tree()
    }
    fn trees(&self) -> Vec<Arc<Tree>> {
        self.inner.trees()
    }
}

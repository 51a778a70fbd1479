//! A shard without a kernel: tasks are polled only when the target says so, time passes only when it says so, connections of
//! TCP come from the target or lead to it, files are the target's, and datagrams never leave the process.

use shroud_runtime::backend::Capabilities;
use shroud_runtime::compose::World;
use shroud_runtime::file::{FileKind, FileStatus, Lent};
use shroud_runtime::net::{Datagram, DatagramCapabilities, Listener, RecvMeta, Transmit};
use shroud_runtime::{
    Alarm, BlockFile, ByteStream, CancellationToken, Composed, ConnectOptions, DatagramOptions, Executor, Io,
    Job, ListenOptions, Offload, OpenOptions, Runtime, Shard, Topology,
};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Polls in one go after which tasks are held to wake each other for ever.
const MOST_POLLS: usize = 100_000;

/// What a node gets on the shard.
pub type MemoryRuntime = Composed<Polls, MemoryIo>;

/// The shard, as the target holds it.
pub struct Memory {
    /// For the code under test.
    pub runtime: MemoryRuntime,
    polls: Polls,
    clock: Arc<Clock>,
    stop: CancellationToken,
    dialled: Dialled,
}

/// The far ends of connections that were made and that the target has not taken yet.
type Dialled = Arc<Mutex<Vec<Peer>>>;

impl Memory {
    pub fn new() -> Self {
        Self::with_files([])
    }

    /// A shard that has these files, and the directories that they are in.
    pub fn with_files(files: impl IntoIterator<Item = (PathBuf, MemoryFile)>) -> Self {
        let (polls, clock, stop) = (Polls::default(), Arc::new(Clock::new()), CancellationToken::new());
        let capabilities = Capabilities {
            topology: Topology::PerCore,
            executor: "fuzzer",
            reactor: "fuzzer",
            files: "none",
            datagram: DATAGRAMS,
        };
        let dialled = Dialled::default();
        let io = MemoryIo {
            clock: Arc::clone(&clock),
            network: Arc::default(),
            dialled: Arc::clone(&dialled),
            files: Arc::new(files.into_iter().collect()),
        };
        let world = World::new(stop.clone());
        let runtime = Composed::new("fuzzer", polls.clone(), io, Shard::single(), capabilities, &world);
        Self { runtime, polls, clock, stop, dialled }
    }

    /// The servers' ends of the connections that were made since this was asked last.
    pub fn take_dialled(&self) -> Vec<Peer> {
        std::mem::take(&mut *self.dialled.lock().expect("not poisoned"))
    }

    /// Polls whoever is ready, until nobody is.
    pub fn settle(&self) {
        for _ in 0..MOST_POLLS {
            if !self.polls.0.try_tick() {
                return;
            }
        }
        panic!("tasks keep waking each other");
    }

    /// Lets time pass, and whoever it wakes run.
    pub fn advance(&self, time: Duration) {
        self.clock.advance(time);
        self.settle();
    }

    /// Asks for an orderly stop.
    pub fn stop(&self) {
        self.stop.cancel();
        self.settle();
    }
}

impl Drop for Memory {
    /// Ends what is left, so that nothing leaks from one input to the next.
    fn drop(&mut self) {
        let tree = Arc::clone(self.runtime.tree());
        self.polls.execute(async move { tree.shut_down().await });
        self.settle();
        if !std::thread::panicking() {
            assert_eq!(self.runtime.tree().live(), 0, "tasks outlive their shard");
        }
    }
}

/// Polls tasks when told to.
#[derive(Clone, Default)]
pub struct Polls(Arc<async_executor::Executor<'static>>);

impl Executor for Polls {
    fn execute<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.spawn(task).detach();
    }
}

impl Offload for Polls {
    fn run_blocking(&self, job: Job) {
        self.execute(async move { job() });
    }
}

struct Clock {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    passed: Duration,
    next: u64,
    chance: u64,
    waiting: BTreeMap<u64, (Instant, Waker)>,
}

impl Clock {
    fn new() -> Self {
        Self { start: Instant::now(), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("not poisoned")
    }

    fn now(&self) -> Instant {
        self.start + self.lock().passed
    }

    fn advance(&self, time: Duration) {
        let mut inner = self.lock();
        inner.passed += time;
        let now = self.start + inner.passed;
        let due: Vec<_> = inner.waiting.extract_if(.., |_, (deadline, _)| *deadline <= now).collect();
        drop(inner);
        due.into_iter().for_each(|(_, (_, waker))| waker.wake());
    }
}

/// Fires when time has been let pass.
pub struct MemoryAlarm {
    clock: Arc<Clock>,
    id: u64,
    deadline: Option<Instant>,
}

impl Alarm for MemoryAlarm {
    fn set(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.clock.now();
        let mut inner = self.clock.lock();
        match self.deadline {
            Some(deadline) if deadline > now => {
                inner.waiting.insert(self.id, (deadline, cx.waker().clone()));
                Poll::Pending
            }
            deadline => {
                inner.waiting.remove(&self.id);
                self.deadline = None;
                if deadline.is_some() { Poll::Ready(()) } else { Poll::Pending }
            }
        }
    }
}

impl Drop for MemoryAlarm {
    fn drop(&mut self) {
        self.clock.lock().waiting.remove(&self.id);
    }
}

/// A connection's two ends share this.
#[derive(Default)]
struct Pipe {
    input: VecDeque<u8>,
    has_ended: bool,
    output: Vec<u8>,
    room: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The target's end: sends, and says how much of the answer it takes.
pub struct Peer {
    pipe: Arc<Mutex<Pipe>>,
    gone: Arc<AtomicBool>,
}

impl Peer {
    /// A client, and a listener that accepts it.
    pub fn new() -> (Self, MemoryListener) {
        let (peer, stream) = Self::pair();
        (peer, MemoryListener(Some(stream)))
    }

    fn pair() -> (Self, MemoryStream) {
        let (pipe, gone) = (Arc::<Mutex<Pipe>>::default(), Arc::<AtomicBool>::default());
        let stream = MemoryStream { pipe: Arc::clone(&pipe), gone: Arc::clone(&gone) };
        (Self { pipe, gone }, stream)
    }

    pub fn send(&self, bytes: &[u8]) {
        self.change(|pipe| pipe.input.extend(bytes));
    }

    /// Closes the side that sends.
    pub fn end(&self) {
        self.change(|pipe| pipe.has_ended = true);
    }

    /// Takes so many more bytes of the answer.
    pub fn make_room(&self, bytes: usize) {
        self.change(|pipe| pipe.room = pipe.room.saturating_add(bytes));
    }

    /// What has been answered so far.
    pub fn output(&self) -> Vec<u8> {
        self.pipe.lock().expect("not poisoned").output.clone()
    }

    /// The same, which is then forgotten.
    pub fn take_output(&self) -> Vec<u8> {
        std::mem::take(&mut self.pipe.lock().expect("not poisoned").output)
    }

    /// Whether the other side has let go of the connection.
    pub fn is_closed(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    fn change(&self, change: impl FnOnce(&mut Pipe)) {
        let mut pipe = self.pipe.lock().expect("not poisoned");
        change(&mut pipe);
        let wakers = [pipe.reader.take(), pipe.writer.take()];
        drop(pipe);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The end of the code under test.
pub struct MemoryStream {
    pipe: Arc<Mutex<Pipe>>,
    gone: Arc<AtomicBool>,
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

impl shroud_runtime::net::ReadUninit for MemoryStream {}

impl futures_io::AsyncRead for MemoryStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe.lock().expect("not poisoned");
        let count = pipe.input.len().min(target.len());
        if count == 0 && !pipe.has_ended && !target.is_empty() {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        target.iter_mut().zip(pipe.input.drain(..count)).for_each(|(to, from)| *to = from);
        Poll::Ready(Ok(count))
    }
}

impl futures_io::AsyncWrite for MemoryStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe.lock().expect("not poisoned");
        let count = pipe.room.min(bytes.len());
        if count == 0 && !bytes.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.room -= count;
        pipe.output.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

impl ByteStream for MemoryStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(ADDRESS)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(ADDRESS)
    }

    fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn reset(self) -> io::Result<()> {
        Ok(())
    }
}

/// Accepts its one connection, and no more.
pub struct MemoryListener(Option<MemoryStream>);

impl Listener for MemoryListener {
    type Stream = MemoryStream;

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(MemoryStream, SocketAddr)>> {
        self.0.take().map_or(Poll::Pending, |stream| Poll::Ready(Ok((stream, ADDRESS))))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(ADDRESS)
    }
}

const DATAGRAMS: DatagramCapabilities =
    DatagramCapabilities { send_segments: 1, receive_segments: 1, ecn: false, may_fragment: true };

/// Datagrams that wait at one socket; further ones are lost.
const MAILBOX: usize = 1024;

/// The sockets that there are.
#[derive(Default)]
pub struct Network {
    sockets: BTreeMap<SocketAddr, Mailbox>,
    ports: u16,
}

#[derive(Default)]
struct Mailbox {
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
}

/// A UDP socket in memory.
pub struct MemorySocket {
    network: Arc<Mutex<Network>>,
    address: SocketAddr,
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        self.network.lock().expect("not poisoned").sockets.remove(&self.address);
    }
}

impl Datagram for MemorySocket {
    fn poll_send(&self, _: &mut Context<'_>, transmits: &[Transmit<'_>]) -> Poll<io::Result<usize>> {
        let mut wakers = Vec::new();
        let mut network = self.network.lock().expect("not poisoned");
        for transmit in transmits {
            let Some(mailbox) = network.sockets.get_mut(&transmit.destination) else { continue };
            if mailbox.waiting.len() < MAILBOX {
                mailbox.waiting.push_back((self.address, transmit.contents.to_vec()));
            }
            wakers.extend(mailbox.reader.take());
        }
        drop(network);
        wakers.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(transmits.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut network = self.network.lock().expect("not poisoned");
        let mailbox = network.sockets.get_mut(&self.address).expect("bound");
        let mut count = 0;
        for (buffer, meta) in buffers.iter_mut().zip(meta) {
            let Some((source, bytes)) = mailbox.waiting.pop_front() else { break };
            let len = bytes.len().min(buffer.len());
            buffer[..len].copy_from_slice(&bytes[..len]);
            *meta = RecvMeta { source, len, stride: len, ecn: None, destination: None };
            count += 1;
        }
        if count == 0 {
            mailbox.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn capabilities(&self) -> DatagramCapabilities {
        DATAGRAMS
    }
}

/// A file that can only be read.
#[derive(Clone)]
pub struct MemoryFile {
    pub content: &'static [u8],
    pub status: FileStatus,
}

impl MemoryFile {
    /// A regular file, last changed so many seconds after the Unix epoch.
    pub fn new(content: &'static [u8], modified: u64) -> Self {
        let length = u64::try_from(content.len()).expect("memory");
        let modified = Duration::from_secs(modified);
        Self { content, status: FileStatus { kind: FileKind::Regular, length, modified } }
    }

    fn directory() -> Self {
        let status = FileStatus { kind: FileKind::Directory, ..Self::new(&[], 0).status };
        Self { content: &[], status }
    }
}

impl BlockFile for MemoryFile {
    async fn read_at(&self, mut buffer: Vec<u8>, offset: u64) -> Lent<usize> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.content.get(offset..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Lent { result: Ok(count), buffer }
    }
    async fn write_at(&self, buffer: Vec<u8>, _: u64) -> Lent<()> {
        Lent { result: none(), buffer }
    }
    async fn sync_data(&self) -> io::Result<()> {
        none()
    }
    async fn sync_all(&self) -> io::Result<()> {
        none()
    }
    async fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        none()
    }
    async fn set_len(&self, _: u64) -> io::Result<()> {
        none()
    }
    async fn status(&self) -> io::Result<FileStatus> {
        Ok(self.status)
    }
    async fn len(&self) -> io::Result<u64> {
        Ok(self.status.length)
    }
}

/// Clock, timers, connections, datagrams and files in memory.
#[derive(Clone)]
pub struct MemoryIo {
    clock: Arc<Clock>,
    network: Arc<Mutex<Network>>,
    dialled: Dialled,
    files: Arc<BTreeMap<PathBuf, MemoryFile>>,
}

fn none<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Io for MemoryIo {
    type Stream = MemoryStream;
    type Listener = MemoryListener;
    type Socket = MemorySocket;
    type File = MemoryFile;
    type Alarm = MemoryAlarm;

    fn now(&self) -> Instant {
        self.clock.now()
    }
    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_700_000_000)
    }
    fn fill(&self, out: &mut [u8]) {
        // Each time other bytes, and the same ones for each input.
        let mut inner = self.clock.lock();
        for byte in out {
            inner.chance =
                inner.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (inner.chance >> 56) as u8;
        }
    }
    fn alarm(&self) -> MemoryAlarm {
        let mut inner = self.clock.lock();
        inner.next += 1;
        MemoryAlarm { clock: Arc::clone(&self.clock), id: inner.next, deadline: None }
    }
    async fn listen(&self, _: SocketAddr, _: ListenOptions) -> io::Result<MemoryListener> {
        none()
    }
    async fn connect(&self, _: SocketAddr, _: ConnectOptions) -> io::Result<MemoryStream> {
        let (peer, stream) = Peer::pair();
        self.dialled.lock().expect("not poisoned").push(peer);
        Ok(stream)
    }
    async fn bind(&self, address: SocketAddr, _: DatagramOptions) -> io::Result<MemorySocket> {
        let mut network = self.network.lock().expect("not poisoned");
        network.ports += 1;
        let port = if address.port() == 0 { 10_000 + network.ports } else { address.port() };
        let address = SocketAddr::new(address.ip(), port);
        network.sockets.insert(address, Mailbox::default());
        drop(network);
        Ok(MemorySocket { network: Arc::clone(&self.network), address })
    }
    async fn lookup(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::new(ADDRESS.ip(), port)])
    }
    async fn open(&self, path: &Path, _: OpenOptions) -> io::Result<MemoryFile> {
        let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        assert!(path.components().all(is_plain), "a path that leads elsewhere: {}", path.display());
        if let Some(file) = self.files.get(path) {
            return Ok(file.clone());
        }
        let is_directory = self.files.keys().any(|file| file.starts_with(path));
        if is_directory { Ok(MemoryFile::directory()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
    async fn read_dir(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        none()
    }
    async fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        none()
    }
    async fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        none()
    }
    async fn remove_file(&self, _: &Path) -> io::Result<()> {
        none()
    }
    async fn sync_dir(&self, _: &Path) -> io::Result<()> {
        none()
    }
}

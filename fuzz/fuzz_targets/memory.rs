//! A shard without a kernel: tasks are polled only when the target says so, time passes only when it says so, and the one
//! connection that there is comes from the target.

use shroud_runtime::backend::Capabilities;
use shroud_runtime::compose::World;
use shroud_runtime::net::{DatagramCapabilities, Listener};
use shroud_runtime::{
    Alarm, ByteStream, CancellationToken, Composed, ConnectOptions, DatagramOptions, Executor, Io, Job,
    ListenOptions, Offload, OpenOptions, Runtime, Shard, Topology,
};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
}

impl Memory {
    pub fn new() -> Self {
        let (polls, clock, stop) = (Polls::default(), Arc::new(Clock::new()), CancellationToken::new());
        let capabilities = Capabilities {
            topology: Topology::PerCore,
            executor: "fuzzer",
            reactor: "fuzzer",
            files: "none",
            datagram: DatagramCapabilities {
                send_segments: 1,
                receive_segments: 1,
                ecn: false,
                may_fragment: true,
            },
        };
        let (io, world) = (MemoryIo(Arc::clone(&clock)), World::new(stop.clone()));
        let runtime = Composed::new("fuzzer", polls.clone(), io, Shard::single(), capabilities, &world);
        Self { runtime, polls, clock, stop }
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

/// The client's end: sends, and says how much of the answer it takes.
pub struct Peer {
    pipe: Arc<Mutex<Pipe>>,
    gone: Arc<AtomicBool>,
}

impl Peer {
    /// A client, and a listener that accepts it.
    pub fn new() -> (Self, MemoryListener) {
        let (pipe, gone) = (Arc::<Mutex<Pipe>>::default(), Arc::<AtomicBool>::default());
        let stream = MemoryStream { pipe: Arc::clone(&pipe), gone: Arc::clone(&gone) };
        (Self { pipe, gone }, MemoryListener(Some(stream)))
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

    /// Whether the server has let go of the connection.
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

/// The server's end.
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

/// Clock and timers. There is no network and there are no files.
#[derive(Clone)]
pub struct MemoryIo(Arc<Clock>);

fn none<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Io for MemoryIo {
    type Stream = MemoryStream;
    type Listener = MemoryListener;
    // Never made.
    type Socket = <shroud_io_tokio::TokioIo as Io>::Socket;
    type File = <shroud_io_tokio::TokioIo as Io>::File;
    type Alarm = MemoryAlarm;

    fn now(&self) -> Instant {
        self.0.now()
    }
    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_700_000_000)
    }
    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
    fn alarm(&self) -> MemoryAlarm {
        let mut inner = self.0.lock();
        inner.next += 1;
        MemoryAlarm { clock: Arc::clone(&self.0), id: inner.next, deadline: None }
    }
    async fn listen(&self, _: SocketAddr, _: ListenOptions) -> io::Result<MemoryListener> {
        none()
    }
    async fn connect(&self, _: SocketAddr, _: ConnectOptions) -> io::Result<MemoryStream> {
        none()
    }
    async fn bind(&self, _: SocketAddr, _: DatagramOptions) -> io::Result<Self::Socket> {
        none()
    }
    async fn lookup(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        none()
    }
    async fn open(&self, _: &Path, _: OpenOptions) -> io::Result<Self::File> {
        none()
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

//! How a promise is run.

use futures_lite::future::yield_now;
use shroud_runtime::{Backend, Config, Runtime, Task, TaskError};
use std::cell::Cell;
use std::ffi::OsString;
use std::future::Future;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Cores of a node in [`everywhere`].
pub const CORES: usize = 2;

/// Set in a process that runs one promise alone.
const CHILD: &str = "SHROUD_CONFORMANCE_CHILD";

/// Begins a line about a fault of a dependency that a promise makes an exception for.
pub const KNOWN: &str = "KNOWN ";

/// The backend whose world is simulated.
pub const SIMULATED: &str = "sim";

thread_local! {
    /// The test that this thread runs, as the test binary calls it.
    static TEST: Cell<&'static str> = const { Cell::new("") };
}

/// Checks a promise on a backend; one that this machine cannot run is skipped, loudly. `name` is the path of the test
/// with its crate.
pub fn check<B: Backend>(name: &'static str, backend: &B, promise: impl FnOnce(&B)) {
    TEST.set(name.split_once("::").map_or(name, |(_, name)| name));
    match backend.probe() {
        Ok(_) => promise(backend),
        Err(reason) => skipped(&format!("{} cannot run here: {reason}", backend.name())),
    }
}

/// Says whether a backend can run here, and with what.
pub fn report<B: Backend>(backend: &B) {
    match backend.probe() {
        Ok(found) => say(&format!(
            "RUNS {}: {}, {}, {}; files: {}; UDP: {:?}",
            backend.name(),
            found.topology,
            found.executor,
            found.reactor,
            found.files,
            found.datagram
        )),
        Err(reason) => say(&format!("SKIPPED {}, all of it: {reason}", backend.name())),
    }
}

/// Says that a promise was not checked, past the test harness's capture.
pub fn skipped(reason: &str) {
    say(&format!("SKIPPED {}: {reason}", TEST.get()));
}

/// Prints a line past the test harness's capture.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Runs this test in a process of its own, where no other test opens descriptors or starts threads; there, runs `check`.
/// The process is started by the command `through` when it is not empty.
///
/// # Panics
/// When the process fails, with what it printed.
pub fn in_own_process(through: &[&str], check: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return check();
    }
    let own = std::env::current_exe().expect("the test binary has a path").into_os_string();
    let arguments = ["--exact", TEST.get(), "--nocapture", "--test-threads=1"];
    let mut words = through.iter().map(OsString::from).chain([own]).chain(arguments.map(OsString::from));
    let program = words.next().expect("there is a program");
    let output = Command::new(program).args(words).env(CHILD, "1").output().expect("the process starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "the process ran no test: {stdout}");
    // What is said aloud there is said aloud here.
    for line in stderr.lines().filter(|line| line.starts_with("SKIPPED ") || line.starts_with(KNOWN)) {
        say(line);
    }
}

/// A future of some type: keeps what a backend compiles to a few types of futures instead of one for each promise.
type Erased<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Spawns futures whose types are erased, so that executors are compiled for a few types and not for hundreds.
pub trait Spawn: Runtime {
    /// As [`Runtime::spawn`].
    fn start<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        self.spawn(name, Box::pin(task) as Erased<T>)
    }
}

impl<R: Runtime> Spawn for R {}

/// Runs `main` on every shard of a two-core node: on two shards, or on one with two workers.
///
/// # Panics
/// When the node does not start, or a main ends early.
pub fn everywhere<B, M, F, T>(backend: &B, main: M) -> Vec<T>
where
    B: Backend,
    M: Fn(B::Runtime) -> F + Send + Sync + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let results = run(backend, &Config::default().cores(CORES), main);
    results.into_iter().map(|result| result.expect("main ends well")).collect()
}

/// Runs `main` on every shard of a node.
///
/// # Panics
/// When the node does not start.
pub fn run<B, M, F, T>(backend: &B, config: &Config, main: M) -> Vec<Result<T, TaskError>>
where
    B: Backend,
    M: Fn(B::Runtime) -> F + Send + Sync + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    type Main<R, T> = dyn Fn(R) -> Erased<T> + Send + Sync;
    fn run<B: Backend, T: Send + 'static>(
        backend: &B,
        config: &Config,
        main: Arc<Main<B::Runtime, T>>,
    ) -> Vec<Result<T, TaskError>> {
        backend.run(config, move |rt| main(rt)).expect("the node starts")
    }
    run(backend, config, Arc::new(move |rt| Box::pin(main(rt))))
}

/// Runs `main` on a node with one thread.
///
/// # Panics
/// When the node does not start, or main ends early.
pub fn alone<B, M, F, T>(backend: &B, main: M) -> T
where
    B: Backend,
    M: FnOnce(B::Runtime) -> F + Send + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    block_on(backend, main).expect("main ends well")
}

/// Runs `main` on a node with one thread.
///
/// # Panics
/// When the node does not start.
pub fn block_on<B, M, F, T>(backend: &B, main: M) -> Result<T, TaskError>
where
    B: Backend,
    M: FnOnce(B::Runtime) -> F + Send + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    type Main<R, T> = dyn FnOnce(R) -> Erased<T> + Send;
    fn run<B: Backend, T: Send + 'static>(
        backend: &B,
        main: Box<Main<B::Runtime, T>>,
    ) -> Result<T, TaskError> {
        backend.block_on(main).expect("the node starts")
    }
    run(backend, Box::new(move |rt| Box::pin(main(rt))))
}

/// Whether what a runtime calls a network, a disk and a thread is that of this machine.
pub fn is_simulated<R: Runtime>(rt: &R) -> bool {
    rt.backend() == SIMULATED
}

/// A new directory that goes with its last user. In a simulation it is there as well, and on the simulated disk.
///
/// # Panics
/// When it cannot be made.
pub async fn directory<R: Runtime>(rt: &R) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory is made");
    let path = directory.path().to_owned();
    rt.create_dir_all(&path).await.expect("it is made, or there");
    (directory, path)
}

/// A free port on the loopback interface.
#[must_use]
pub const fn loopback() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

/// Yields until `condition` holds.
pub async fn until(mut condition: impl FnMut() -> bool + Send) {
    while !condition() {
        yield_now().await;
    }
}

/// Counts those of its guards that live, and all that there were.
#[derive(Debug, Clone, Default)]
pub struct Guards {
    live: Arc<AtomicUsize>,
}

impl Guards {
    /// One more.
    #[must_use]
    pub fn guard(&self) -> Guard {
        self.live.fetch_add(1, SeqCst);
        Guard { live: Arc::clone(&self.live) }
    }

    /// Those that live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(SeqCst)
    }
}

/// Counted while it lives.
#[derive(Debug)]
pub struct Guard {
    live: Arc<AtomicUsize>,
}

impl Guard {
    /// A future that never ends and holds this.
    pub async fn forever<T>(self) -> T {
        let _held = self;
        std::future::pending().await
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.live.fetch_sub(1, SeqCst);
    }
}

/// A flag that tasks share.
#[derive(Debug, Clone, Default)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// Raises it.
    pub fn raise(&self) {
        self.0.store(true, SeqCst);
    }

    /// Whether it was raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(SeqCst)
    }
}

/// The byte at `position` of the stream called `stream`: no two neighbouring streams or pages look alike.
#[must_use]
pub fn pattern(stream: u64, position: u64) -> u8 {
    let mixed = (position ^ stream.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as u8
}

/// `length` bytes of a pattern from `start`.
#[must_use]
pub fn patterned(stream: u64, start: u64, length: usize) -> Vec<u8> {
    (start..start + length as u64).map(|position| pattern(stream, position)).collect()
}

/// Panics at the first byte that is not as the pattern says.
///
/// # Panics
/// When `bytes` differ.
pub fn assert_patterned(stream: u64, start: u64, bytes: &[u8]) {
    for (position, byte) in (start..).zip(bytes) {
        assert_eq!(*byte, pattern(stream, position), "stream {stream}, byte {position}");
    }
}

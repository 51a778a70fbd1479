//! Where servers, bystanders and attackers run: on one thread in a test, and each on one of its own in a measurement
//! (`benches/floods`), with the server alone on a processor, so that what a bystander waits for is the server.

use shroud::runtime::sync::{channel, oneshot};
use shroud::runtime::{Backend, Runtime};
use shroud_bench::affinity;
use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::OnceLock;

/// Set when floods are measured.
const APART: &str = "SHROUD_FLOODS_APART";

/// A thread of its own in a measurement. The attacker has the test's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Who is attacked.
    Server,
    /// Who wants to be served meanwhile.
    Bystander,
}

type Work<R> = Box<dyn FnOnce(R) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The other threads of this process, if any: a sender of work for each place.
static ELSEWHERE: OnceLock<Box<dyn Any + Send + Sync>> = OnceLock::new();

struct Threads<R> {
    server: channel::Sender<Work<R>>,
    bystander: channel::Sender<Work<R>>,
}

/// Whether floods are measured.
pub fn apart() -> bool {
    ELSEWHERE.get().is_some()
}

/// Starts the other threads if floods are to be measured. They end with the process.
///
/// # Panics
/// When there is no second processor.
pub fn set<B>(backend: &B)
where
    B: Backend + Clone + Send + 'static,
{
    if std::env::var_os(APART).is_none() {
        return;
    }
    let processors = affinity::allowed().expect("the processors of this process");
    let &[first, second, ..] = &processors[..] else {
        panic!("floods are measured on two processors, and there is one");
    };
    let threads = Threads { server: thread(backend, first), bystander: thread(backend, second) };
    // For the rest of this process.
    std::mem::forget(affinity::pin(&[second]).expect("a processor"));
    stand_back();
    assert!(ELSEWHERE.set(Box::new(threads)).is_ok(), "set once");
}

/// The attacker, and what it starts, gives its processor to the bystander whenever that wants it (`SCHED_IDLE`): a lower priority
/// alone lets it go on for some milliseconds.
fn stand_back() {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let set =
        Command::new("chrt").args(["--idle", "--pid", "0", &thread]).status().expect("chrt, of util-linux");
    assert!(set.success(), "a thread may stand back");
}

/// A thread on this processor, with a runtime that does one piece of work after the other.
fn thread<B>(backend: &B, processor: usize) -> channel::Sender<Work<B::Runtime>>
where
    B: Backend + Clone + Send + 'static,
{
    let (sender, receiver) = channel::unbounded();
    let backend = backend.clone();
    std::thread::spawn(move || {
        let _pinned = affinity::pin(&[processor]).expect("a processor");
        // What work spawns is a child of this task, and lives on.
        crate::run(&backend, 1, move |runtime| serve(receiver.clone(), runtime));
    });
    sender
}

async fn serve<R: Runtime>(receiver: channel::Receiver<Work<R>>, runtime: R) {
    while let Ok(work) = receiver.recv().await {
        work(runtime.clone()).await;
    }
}

/// Does `work` in its place: here in a test.
///
/// # Panics
/// When the work does.
pub async fn at<R, T, F>(runtime: &R, place: Place, work: impl FnOnce(R) -> F + Send + 'static) -> T
where
    R: Runtime,
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let Some(threads) = ELSEWHERE.get() else { return work(runtime.clone()).await };
    let threads: &Threads<R> = threads.downcast_ref().expect("threads of this backend");
    let place = match place {
        Place::Server => &threads.server,
        Place::Bystander => &threads.bystander,
    };
    let (reply, result) = oneshot::channel();
    let work: Work<R> = Box::new(move |runtime| {
        Box::pin(async move {
            let _ = reply.send(work(runtime).await);
        })
    });
    place.try_send(work).expect("its thread");
    result.await.expect("work that does not panic")
}

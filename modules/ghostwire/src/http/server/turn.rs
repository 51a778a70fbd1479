//! A turn of a connection's task: it goes on with one request after the other for a short time, then other connections have
//! theirs. A hundred requests that come together would keep everybody else waiting for as long as they all take.

use pin_project_lite::pin_project;
use shroud_runtime::Runtime;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How long requests begin to be polled.
const TURN: Duration = Duration::from_micros(64);

/// Requests that are polled without a look at the clock: few connections have more that can go on at a time.
const UNTIMED: u32 = 2;

/// The turns of one task. Its requests are polled by that task, one after the other.
#[derive(Debug)]
pub(super) struct Turns {
    since: Instant,
    /// When this turn began, in nanoseconds since then; how many requests it has polled; whether it is over.
    begun: AtomicU64,
    polled: AtomicU32,
    over: AtomicBool,
}

impl Turns {
    pub(super) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            since: now,
            begun: AtomicU64::new(0),
            polled: AtomicU32::new(0),
            over: AtomicBool::new(false),
        })
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.since).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The turn that began at `now`, if it is not the one that goes on.
    pub(super) fn begin(&self, now: Instant) {
        let begun = self.nanos(now);
        if self.begun.swap(begun, Relaxed) != begun {
            self.polled.store(0, Relaxed);
            self.over.store(false, Relaxed);
        }
    }

    /// Whether no other request is to be polled before the next turn.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    fn count(&self, runtime: &impl Runtime) {
        let polled = self.polled.load(Relaxed).saturating_add(1);
        self.polled.store(polled, Relaxed);
        if polled > UNTIMED {
            let took = self.nanos(runtime.now()).saturating_sub(self.begun.load(Relaxed));
            self.over.store(Duration::from_nanos(took) >= TURN, Relaxed);
        }
    }
}

pin_project! {
    /// A request that is polled within the turns of its connection's task.
    pub(super) struct InTurn<F, R> {
        #[pin]
        work: F,
        runtime: R,
        turns: Arc<Turns>,
    }
}

impl<F, R> InTurn<F, R> {
    pub(super) fn new(work: F, runtime: R, turns: Arc<Turns>) -> Self {
        Self { work, runtime, turns }
    }
}

impl<F: Future<Output = ()>, R: Runtime> Future for InTurn<F, R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.turns.is_over() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = this.work.poll(cx);
        this.turns.count(this.runtime);
        polled
    }
}

//! The requests of one connection, polled by its task in turns: it goes on with one after the other for a short time, then other
//! tasks have theirs and the reactor is looked at. A hundred requests that come together, or end together, would keep everybody
//! else waiting for as long as they all take.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use shroud_runtime::Runtime;
use shroud_runtime::task::{LONG_POLL, poll_long};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How long requests begin to be polled.
const TURN: Duration = LONG_POLL;

/// Requests that are polled without a look at the clock: few connections have more that can go on at a time.
const UNTIMED: u32 = 2;

/// A request with its response.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The turn that goes on. All that know it are polled by one task, one after the other.
#[derive(Debug)]
struct Turn {
    since: Instant,
    /// When it began, in nanoseconds since then; how many requests it has polled; whether it is over.
    begun: AtomicU64,
    polled: AtomicU32,
    over: AtomicBool,
}

impl Turn {
    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.since).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Another one, unless it is the one that goes on.
    fn begin(&self, now: Instant) {
        let begun = self.nanos(now);
        if self.begun.swap(begun, Relaxed) != begun {
            self.polled.store(0, Relaxed);
            self.over.store(false, Relaxed);
        }
    }

    fn is_over(&self) -> bool {
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

/// A request that has been polled. Gives itself back when the turn is over: it is the first of the next one then.
struct Running<R> {
    work: Option<Work>,
    runtime: R,
    turn: Arc<Turn>,
}

// Neither is pinned.
impl<R> Unpin for Running<R> {}

impl<R: Runtime> Future for Running<R> {
    /// What is left of it.
    type Output = Option<Work>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Work>> {
        if self.turn.is_over() {
            return Poll::Ready(self.work.take());
        }
        let Some(work) = &mut self.work else { return Poll::Ready(None) };
        let polled = work.as_mut().poll(cx);
        self.turn.count(&self.runtime);
        polled.map(|()| None)
    }
}

/// The requests of a connection.
pub(super) struct Requests<R> {
    runtime: R,
    turn: Arc<Turn>,
    /// Those to be polled first: new ones, and one that the last turn had no time for.
    next: VecDeque<Work>,
    running: FuturesUnordered<Running<R>>,
}

impl<R: Runtime> Requests<R> {
    pub(super) fn new(runtime: R) -> Self {
        let turn = Turn {
            since: runtime.now(),
            begun: AtomicU64::new(0),
            polled: AtomicU32::new(0),
            over: AtomicBool::new(false),
        };
        Self { runtime, turn: Arc::new(turn), next: VecDeque::new(), running: FuturesUnordered::new() }
    }

    pub(super) fn push(&mut self, work: Work) {
        self.next.push_back(work);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.running.is_empty()
    }

    /// Polls those that can go on, in the poll of the task that has begun at `now`. Says whether any has begun or ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        self.turn.begin(now);
        let mut went_on = !self.next.is_empty();
        while !self.turn.is_over()
            && let Some(mut work) = self.next.pop_front()
        {
            // Most end at once, without a place and a waker of their own.
            let polled = work.as_mut().poll(cx);
            self.turn.count(&self.runtime);
            if polled.is_pending() {
                let (runtime, turn) = (self.runtime.clone(), Arc::clone(&self.turn));
                self.running.push(Running { work: Some(work), runtime, turn });
            }
        }
        while !self.turn.is_over()
            && let Poll::Ready(Some(left)) = self.running.poll_next_unpin(cx)
        {
            went_on = true;
            self.next.extend(left);
        }
        went_on
    }

    /// Whether more could be done in this poll of the task, but others are to have their turn before: who drives this gives way.
    pub(super) fn is_turn_over(&self) -> bool {
        self.turn.is_over()
    }

    /// Drops them, in turns: each may have a connection to another server. At once when this is itself dropped.
    pub(super) async fn end(self) {
        let Self { runtime, next, running, .. } = self;
        let left = next.into_iter().chain(running.into_iter().filter_map(|running| running.work));
        let mut ends = None;
        for work in left {
            if ends.is_none_or(|ends| runtime.now() >= ends) {
                poll_fn(poll_long).await;
                ends = Some(runtime.now() + TURN);
            }
            drop(work);
        }
    }
}

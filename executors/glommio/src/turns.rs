//! Fairness between tasks and the reactor, and a way out of glommio's lost wake-ups.
//!
//! A glommio executor polls ready tasks until none is left, or until something completes on its latency ring: mostly a
//! timer that it sets before. But when that completion comes before the first task was polled, glommio 0.9 takes the
//! turn for an idle one and goes to sleep with tasks in its queue. On a busy machine a thread is off its CPU for some
//! milliseconds often enough, and then the shard hangs. The same happens, rarely, when another thread's wake-up arrives
//! in two halves.
//!
//! So that timer is set out of reach, and turns are limited here: when tasks have been polled back to back for
//! [`LIMIT`], the next ones wait until the queue is empty and the reactor was looked at. And a shard never sleeps for
//! long: a few timers ([`PULSES`]) get it up again, however many of them are lost the same way.

use glommio::timer::Timer;
use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long tasks are polled without a look at the reactor: what an event may be late on a shard that is never idle.
const LIMIT: Duration = Duration::from_millis(2);
/// The least time from one poll to the next when the reactor was looked at in between: that takes several system calls,
/// the way from one ready task to the next a tenth of this. A thread that lost its CPU looks the same; its turn is longer.
const GAP: Duration = Duration::from_micros(1);
/// How long tasks wait whose turn is over: just so long that the timer is not due before the queue is empty.
const PAUSE: Duration = Duration::from_micros(10);
/// When a shard gets up at the latest. A pulse that is lost leaves the longer ones. Twenty a second cost an idle shard about
/// 3.4 ms of CPU a second (0.3% of a core; a development build on two shared virtual cores): glommio's way to sleep and
/// back is several system calls.
const PULSES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(500), Duration::from_secs(5)];

/// The turns of one shard.
#[derive(Debug)]
pub(crate) struct Turns {
    /// When the first task of this turn was polled.
    began: Cell<Instant>,
    /// When the last poll ended.
    ended: Cell<Instant>,
    /// Tasks whose turn is over.
    waiting: RefCell<Vec<Waker>>,
    /// Whether the pulse is to set its timers anew, and how it is told.
    called: Cell<bool>,
    pulse: RefCell<Option<Waker>>,
}

thread_local! {
    static HERE: Rc<Turns> = Rc::new(Turns::new());
}

impl Turns {
    /// The turns of this thread's shard.
    pub(crate) fn here() -> Rc<Self> {
        HERE.with(Rc::clone)
    }

    fn new() -> Self {
        let now = Instant::now();
        Self {
            began: Cell::new(now),
            ended: Cell::new(now),
            waiting: RefCell::default(),
            called: Cell::new(false),
            pulse: RefCell::default(),
        }
    }

    /// `task`, with its turns limited.
    pub(crate) fn limit<F>(self: &Rc<Self>, task: F) -> Limited<F> {
        Limited { turns: Rc::clone(self), task }
    }

    /// Keeps the pulse, for as long as it is polled.
    pub(crate) async fn keep_pulse(self: Rc<Self>) {
        loop {
            let pause = (!self.waiting.borrow().is_empty()).then_some(PAUSE);
            let mut timers: Vec<_> = pause.into_iter().chain(PULSES).map(Timer::new).collect();
            poll_fn(|cx| {
                self.pulse.replace(Some(cx.waker().clone()));
                if self.called.replace(false) {
                    // Not woken by the reactor: that a timer would be due says nothing.
                    return Poll::Ready(());
                }
                let mut due = false;
                for timer in &mut timers {
                    due |= Pin::new(timer).poll(cx).is_ready();
                }
                if !due {
                    return Poll::Pending;
                }
                self.began.set(Instant::now());
                self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
                Poll::Ready(())
            })
            .await;
            self.ended.set(Instant::now());
        }
    }

    /// Pending when the turn is over; the task is woken in the next one.
    fn poll_turn(&self, cx: &Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if now.saturating_duration_since(self.ended.get()) >= GAP {
            self.began.set(now);
        }
        if now.saturating_duration_since(self.began.get()) < LIMIT {
            return Poll::Ready(());
        }
        self.ended.set(now);
        self.wake_next_turn(cx.waker());
        Poll::Pending
    }

    /// Wakes a task of this shard when the reactor has been looked at.
    pub(crate) fn wake_next_turn(&self, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(waker.clone());
        if waiting.len() == 1 {
            self.called.set(true);
            if let Some(pulse) = self.pulse.take() {
                pulse.wake();
            }
        }
    }
}

pin_project! {
    /// A task whose turns are limited.
    pub(crate) struct Limited<F> {
        turns: Rc<Turns>,
        #[pin]
        task: F,
    }
}

impl<F: Future> Future for Limited<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if this.turns.poll_turn(cx).is_pending() {
            return Poll::Pending;
        }
        let polled = this.task.poll(cx);
        this.turns.ended.set(Instant::now());
        polled
    }
}

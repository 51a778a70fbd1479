//! Time: the alarm that backends implement, and sleep, timeout and interval built on it.

use crate::runtime::{Runtime, RuntimeExt};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// One re-armable timer. A driver of a machine keeps one and sets it to the machine's deadline after each step.
pub trait Alarm: Send + Sync + Unpin + 'static {
    /// Arms the alarm for `deadline` (replacing any earlier one), or disarms it with `None`. A deadline in the past
    /// fires at the next poll.
    fn set(&mut self, deadline: Option<Instant>);

    /// Ready once at or after the deadline, then disarmed; pending while disarmed.
    ///
    /// Wakes the task of the last call, also after [`Alarm::set`] has moved the deadline since that call: a caller
    /// that changes the deadline must poll again to be woken.
    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// The work did not finish in its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

impl From<Elapsed> for std::io::Error {
    fn from(_: Elapsed) -> Self {
        std::io::ErrorKind::TimedOut.into()
    }
}

/// Ready at its deadline. Made by [`RuntimeExt::sleep`]; cancel safe.
#[derive(Debug)]
pub struct Sleep<A> {
    alarm: A,
    deadline: Instant,
    done: bool,
}

impl<A: Alarm> Sleep<A> {
    /// A sleep on `alarm` until `deadline`.
    pub fn new(mut alarm: A, deadline: Instant) -> Self {
        alarm.set(Some(deadline));
        Self { alarm, deadline, done: false }
    }

    /// When it is due.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the deadline; a finished sleep starts anew.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.done = false;
        self.alarm.set(Some(deadline));
    }
}

impl<A: Alarm> Future for Sleep<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.done {
            ready!(self.alarm.poll_fired(cx));
            self.done = true;
        }
        Poll::Ready(())
    }
}

pin_project! {
    /// A future with a time limit. Made by [`RuntimeExt::timeout`].
    #[derive(Debug)]
    pub struct Timeout<F, A> {
        #[pin]
        future: F,
        sleep: Sleep<A>,
    }
}

impl<F, A> Timeout<F, A> {
    pub(crate) fn new(future: F, sleep: Sleep<A>) -> Self {
        Self { future, sleep }
    }
}

impl<F: Future, A: Alarm> Future for Timeout<F, A> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The work first: a result that is ready at the deadline counts.
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        ready!(Pin::new(this.sleep).poll(cx));
        Poll::Ready(Err(Elapsed))
    }
}

/// What an [`Interval`] does about ticks that nobody waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MissedTicks {
    /// Deliver them at once, one after the other, until caught up.
    Burst,
    /// Drop them and go on at the original phase: ticks stay on multiples of the period.
    #[default]
    Skip,
    /// Start a new phase: the next tick is one period after the late one was taken.
    Delay,
}

/// Ticks at a fixed period. Made by [`RuntimeExt::interval`].
#[derive(Debug)]
pub struct Interval<R: Runtime> {
    runtime: R,
    sleep: Sleep<R::Alarm>,
    period: Duration,
    missed: MissedTicks,
}

impl<R: Runtime> Interval<R> {
    /// # Panics
    /// Never; a zero period is taken as one nanosecond.
    pub(crate) fn new(runtime: R, period: Duration, missed: MissedTicks) -> Self {
        let period = period.max(Duration::from_nanos(1));
        let sleep = runtime.sleep(period);
        Self { runtime, sleep, period, missed }
    }

    /// Waits for the next tick and returns when it was due. Cancel safe: a tick is consumed only when it is
    /// returned.
    pub async fn tick(&mut self) -> Instant {
        (&mut self.sleep).await;
        let due = self.sleep.deadline();
        let now = self.runtime.now();
        let next = match self.missed {
            MissedTicks::Burst => due + self.period,
            MissedTicks::Delay => now + self.period,
            MissedTicks::Skip => {
                let late = now.saturating_duration_since(due).as_nanos();
                let into = u64::try_from(late.checked_rem(self.period.as_nanos()).unwrap_or(0)).unwrap_or(0);
                now - Duration::from_nanos(into) + self.period
            }
        };
        self.sleep.reset(next);
        due
    }
}

//! An alarm that touches its reactor's timer as rarely as it can.

use shroud_runtime::Alarm;
use shroud_runtime::task::polled_at;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

/// A reactor's own re-armable timer.
pub trait ReactorTimer: Send + Sync + Unpin + 'static {
    /// Arms the timer for `deadline`, replacing any earlier one.
    fn arm(&mut self, deadline: Instant);

    /// Ready once at or after the deadline. Not called before [`ReactorTimer::arm`].
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Sets its timer only when it is polled, and moves it only to an earlier time: protocol deadlines mostly move later,
/// and a timer that goes off too early is set again then, once for any number of moves.
#[derive(Debug)]
pub struct LazyAlarm<T> {
    timer: T,
    /// What the timer is set to, while it is.
    armed: Option<Instant>,
    deadline: Option<Instant>,
    /// Whom the timer will wake.
    waiting: Option<Waker>,
}

impl<T: ReactorTimer> LazyAlarm<T> {
    /// An alarm on `timer`, disarmed.
    pub fn new(timer: T) -> Self {
        Self { timer, armed: None, deadline: None, waiting: None }
    }
}

impl<T: ReactorTimer> Alarm for LazyAlarm<T> {
    fn set(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        // A busy task's alarm is polled with each of its polls, and hardly ever due. The time at which the poll began will do:
        // a timer that goes off since then has the task polled again.
        if let (Some(now), Some(armed), Some(waiting)) = (polled_at(cx.waker()), self.armed, &self.waiting)
            && now < armed
            && armed <= deadline
            && waiting.will_wake(cx.waker())
        {
            return Poll::Pending;
        }
        while Instant::now() < deadline {
            if self.armed.is_none_or(|armed| armed > deadline) {
                self.timer.arm(deadline);
                self.armed = Some(deadline);
            }
            // Before the timer is: one that expires meanwhile wakes whoever it was polled by.
            if !self.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(cx.waker())) {
                self.waiting = Some(cx.waker().clone());
            }
            ready!(self.timer.poll_expired(cx));
            self.armed = None;
        }
        (self.deadline, self.waiting) = (None, None);
        Poll::Ready(())
    }
}

/// Runs `work` for at most `limit`, then drops it and says `TimedOut`. Exactly as cancel safe as `work`.
///
/// # Errors
/// Those of `work`, and `TimedOut`.
pub async fn within<T>(
    limit: Option<Duration>,
    mut alarm: impl Alarm,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    alarm.set(limit.and_then(|limit| Instant::now().checked_add(limit)));
    let mut work = pin!(work);
    poll_fn(|cx| {
        // The work first: a result that is ready at the deadline counts.
        if let Poll::Ready(result) = work.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        alarm.poll_fired(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    /// A timer that fires when its deadline has passed, as a thread that polls it now and then sees it.
    #[derive(Default)]
    struct Polled {
        deadline: Option<Instant>,
        arms: usize,
    }

    impl ReactorTimer for Polled {
        fn arm(&mut self, deadline: Instant) {
            self.deadline = Some(deadline);
            self.arms += 1;
        }

        fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.deadline = None;
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }

    #[test]
    fn a_deadline_that_only_moves_later_touches_the_timer_twice() {
        let mut alarm = LazyAlarm::new(Polled::default());
        let start = Instant::now();
        let (soon, late) = (start + Duration::from_millis(20), start + Duration::from_millis(60));
        block_on(async {
            alarm.set(Some(soon));
            assert_eq!(poll_once(poll_fn(|cx| alarm.poll_fired(cx))).await, None);
            for millis in 21..60 {
                alarm.set(Some(start + Duration::from_millis(millis)));
            }
            alarm.set(Some(late));
            poll_fn(|cx| alarm.poll_fired(cx)).await;
            assert!(Instant::now() >= late);
            assert_eq!(alarm.timer.arms, 2);
            // Disarmed now, also for a deadline that was taken back.
            assert_eq!(poll_once(poll_fn(|cx| alarm.poll_fired(cx))).await, None);
            alarm.set(Some(start));
            alarm.set(None);
            assert_eq!(poll_once(poll_fn(|cx| alarm.poll_fired(cx))).await, None);
            alarm.set(Some(start));
            assert_eq!(poll_once(poll_fn(|cx| alarm.poll_fired(cx))).await, Some(()));
            assert_eq!(alarm.timer.arms, 2);
        });
    }

    #[test]
    fn work_that_is_too_slow_times_out() {
        let alarm = || LazyAlarm::new(Polled::default());
        block_on(async {
            let slow =
                within(Some(Duration::from_millis(1)), alarm(), std::future::pending::<io::Result<()>>());
            assert_eq!(slow.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert_eq!(within(Some(Duration::ZERO), alarm(), async { Ok(7) }).await.unwrap(), 7);
            assert_eq!(within(None, alarm(), async { Ok(7) }).await.unwrap(), 7);
        });
    }
}

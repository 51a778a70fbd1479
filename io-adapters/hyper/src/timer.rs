//! Timers: hyper's `Timer` and `Sleep` over the seam's alarms.

use hyper::rt::{Sleep, Timer};
use shroud_runtime::{Alarm, Runtime};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// hyper's clock and timers, from a runtime.
#[derive(Clone)]
pub struct HyperTimer<R> {
    runtime: R,
}

impl<R: Runtime> HyperTimer<R> {
    /// Timers of `runtime`.
    pub const fn new(runtime: R) -> Self {
        Self { runtime }
    }
}

impl<R> fmt::Debug for HyperTimer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTimer").finish_non_exhaustive()
    }
}

impl<R: Runtime> Timer for HyperTimer<R> {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.runtime.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HyperSleep { runtime: self.runtime.clone(), deadline, armed: None })
    }

    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<HyperSleep<R>>() {
            Some(sleep) => sleep.get_mut().deadline = deadline,
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// Ready at its deadline. Made by [`HyperTimer`].
///
/// The alarm is made at the first poll that has to wait. A deadline that moves away (hyper resets a timer with each
/// request) costs one store: the alarm fires at the old time and is then armed anew.
pub struct HyperSleep<R: Runtime> {
    runtime: R,
    deadline: Instant,
    armed: Option<Armed<R::Alarm>>,
}

struct Armed<A> {
    alarm: A,
    /// When the alarm fires; `None` after it has.
    at: Option<Instant>,
}

impl<R: Runtime> fmt::Debug for HyperSleep<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperSleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl<R: Runtime> Sleep for HyperSleep<R> {}

// Nothing in it is pinned.
impl<R: Runtime> Unpin for HyperSleep<R> {}

impl<R: Runtime> Future for HyperSleep<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let deadline = this.deadline;
        let armed = match &mut this.armed {
            Some(armed) => armed,
            None => {
                if this.runtime.now() >= deadline {
                    return Poll::Ready(());
                }
                this.armed.insert(Armed { alarm: this.runtime.alarm(), at: None })
            }
        };
        loop {
            if armed.at.is_none_or(|at| at > deadline) {
                armed.alarm.set(Some(deadline));
                armed.at = Some(deadline);
            }
            if armed.alarm.poll_fired(cx).is_pending() {
                return Poll::Pending;
            }
            armed.at = None;
            if this.runtime.now() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}

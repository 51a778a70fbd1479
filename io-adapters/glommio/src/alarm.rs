//! Timers of the shard's reactor.

use glommio::timer::Timer;
use send_wrapper::SendWrapper;
use shroud_io_readiness::ReactorTimer;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// A timer that enters the reactor's tree when it is first polled, and again only for another deadline or task.
/// [`shroud_io_readiness::LazyAlarm`] adds that a deadline that moves later costs nothing.
#[derive(Debug, Default)]
pub struct GlommioTimer {
    deadline: Option<Instant>,
    entry: Option<SendWrapper<Entry>>,
}

/// A place in the reactor's tree; dropping it leaves the tree.
#[derive(Debug)]
struct Entry {
    #[allow(dead_code, reason = "held for its drop")]
    timer: Timer,
    deadline: Instant,
    waker: Waker,
}

impl ReactorTimer for GlommioTimer {
    fn arm(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let entered =
            |entry: &SendWrapper<Entry>| entry.deadline == deadline && entry.waker.will_wake(cx.waker());
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.entry = None;
            return Poll::Ready(());
        }
        if !self.entry.as_ref().is_some_and(entered) {
            self.entry = None;
            let mut timer = Timer::new(left);
            if Pin::new(&mut timer).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            self.entry = Some(SendWrapper::new(Entry { timer, deadline, waker }));
        }
        Poll::Pending
    }
}

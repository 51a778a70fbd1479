//! Waking without a value.

use event_listener::Event;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// Wakes one task, or all that wait.
///
/// [`Notify::notify_one`] leaves a mark that the next waiter takes; marks that nobody has taken yet coalesce into one.
/// A waiter must therefore look for all the work there is, not for one piece a notification.
#[derive(Debug, Default)]
pub struct Notify {
    /// A notification that nobody has taken.
    mark: AtomicBool,
    /// Counts the calls of `notify_all`.
    round: AtomicU64,
    event: Event,
}

impl Notify {
    /// Nothing notified yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes one waiter; when there is none, lets the next one through at once.
    pub fn notify_one(&self) {
        self.mark.store(true, SeqCst);
        self.event.notify(1);
    }

    /// Wakes everyone who has called [`Notify::notified`], polled or not. Leaves no mark for later ones.
    pub fn notify_all(&self) {
        self.round.fetch_add(1, SeqCst);
        self.event.notify(usize::MAX);
    }

    /// Waits for a notification. One by [`Notify::notify_all`] counts from this call on, not only from the first poll.
    ///
    /// Cancel safety: cancel safe; a notification that a dropped waiter has not taken wakes the next one.
    pub fn notified(&self) -> impl Future<Output = ()> + Send + '_ {
        let round = self.round.load(SeqCst);
        async move {
            while !self.take(round) {
                let listener = self.event.listen();
                if self.take(round) {
                    return;
                }
                listener.await;
            }
        }
    }

    fn take(&self, round: u64) -> bool {
        self.round.load(SeqCst) != round || self.mark.swap(false, SeqCst)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test wakes from a thread of its own")]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};
    use std::pin::pin;
    use std::sync::Arc;

    #[test]
    fn a_mark_waits_for_the_next_waiter_and_coalesces() {
        let notify = Notify::new();
        notify.notify_one();
        notify.notify_one();
        block_on(async {
            assert!(poll_once(notify.notified()).await.is_some());
            assert!(poll_once(notify.notified()).await.is_none());
        });
    }

    #[test]
    fn notify_one_wakes_one_and_a_dropped_waiter_loses_nothing() {
        let notify = Notify::new();
        block_on(async {
            let mut second = pin!(notify.notified());
            {
                let mut first = pin!(notify.notified());
                assert!(poll_once(first.as_mut()).await.is_none());
                assert!(poll_once(second.as_mut()).await.is_none());
                notify.notify_one();
                // `first` was woken, and is dropped without having taken it.
            }
            second.await;
        });
    }

    #[test]
    fn notify_all_counts_from_the_call_and_leaves_no_mark() {
        let notify = Notify::new();
        block_on(async {
            let waiters: Vec<_> = (0..3).map(|_| notify.notified()).collect();
            notify.notify_all();
            for waiter in waiters {
                waiter.await;
            }
            assert!(poll_once(notify.notified()).await.is_none());
        });
    }

    #[test]
    fn wakes_across_threads() {
        let ping = Arc::new((Notify::new(), Notify::new()));
        let other = Arc::clone(&ping);
        let thread = std::thread::spawn(move || {
            for _ in 0..1000 {
                block_on(other.0.notified());
                other.1.notify_one();
            }
        });
        for _ in 0..1000 {
            ping.0.notify_one();
            block_on(ping.1.notified());
        }
        thread.join().unwrap();
    }
}

//! What waits for the writer: a bounded queue that wakes it rarely.
//!
//! The writer says how many items it wants before it is woken ([`Inbox::wait`]): one when it is idle, more while a sync
//! is in flight and it could not answer anyone anyway. Whoever pushes the item that makes the number full wakes it; the
//! others only push.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::SubmitError;

/// A bounded queue with one consumer. Items have a weight (bytes) beside their number.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    max_items: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct State<T> {
    items: Vec<T>,
    bytes: usize,
    /// Wake the consumer when so many items are there.
    wanted: usize,
    consumer: Option<Waker>,
    closed: Option<Closed>,
}

#[derive(Clone, Debug)]
enum Closed {
    Stopping,
    Failed(Arc<str>),
}

impl<T> Inbox<T> {
    pub(crate) fn new(max_items: usize, max_bytes: usize) -> Self {
        let state = State { items: Vec::new(), bytes: 0, wanted: 1, consumer: None, closed: None };
        Self { state: Mutex::new(state), max_items, max_bytes }
    }

    /// Adds an item, or gives it back at once and says why.
    pub(crate) fn push(&self, item: T, bytes: usize) -> Result<(), (T, SubmitError)> {
        let consumer = {
            let mut state = self.state();
            match &state.closed {
                Some(Closed::Stopping) => return Err((item, SubmitError::Stopping)),
                Some(Closed::Failed(reason)) => return Err((item, SubmitError::Failed(Arc::clone(reason)))),
                None => {}
            }
            let total = state.bytes.saturating_add(bytes);
            if state.items.len() >= self.max_items || total > self.max_bytes {
                return Err((item, SubmitError::Overloaded { waiting: state.items.len() }));
            }
            state.bytes = total;
            state.items.push(item);
            if state.items.len() >= state.wanted { state.consumer.take() } else { None }
        };
        #[cfg(feature = "planted-faults")]
        let consumer = consumer.filter(|_| {
            !shroud_planted::is_planted(shroud_planted::Fault::LoseWakeUp) || !bytes.is_multiple_of(8)
        });
        if let Some(consumer) = consumer {
            consumer.wake();
        }
        Ok(())
    }

    /// Moves all items behind those in `out`, in the order of pushing.
    pub(crate) fn take(&self, out: &mut impl Extend<T>) {
        let items = {
            let mut state = self.state();
            state.bytes = 0;
            std::mem::take(&mut state.items)
        };
        out.extend(items);
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.state().items.len()
    }

    /// Waits until there are `wanted` items, the queue is closed, or this future is polled again for any other reason: the
    /// caller looks again at everything it waits for. With `usize::MAX`, being closed is no reason.
    pub(crate) async fn wait(&self, wanted: usize) {
        let mut waited = false;
        poll_fn(|cx| {
            let mut state = self.state();
            if waited || state.items.len() >= wanted || (state.closed.is_some() && wanted < usize::MAX) {
                state.consumer = None;
                return Poll::Ready(());
            }
            waited = true;
            state.wanted = wanted.max(1);
            state.consumer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Refuses further items: the ledger is stopping.
    pub(crate) fn close(&self) {
        self.shut(Closed::Stopping);
    }

    /// Refuses further items: the ledger has failed.
    pub(crate) fn fail(&self, reason: Arc<str>) {
        self.shut(Closed::Failed(reason));
    }

    /// Whether items are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed.is_some()
    }

    fn shut(&self, closed: Closed) {
        let consumer = {
            let mut state = self.state();
            // A failure is the better reason of the two, and stays.
            if !matches!(state.closed, Some(Closed::Failed(_))) {
                state.closed = Some(closed);
            }
            state.consumer.take()
        };
        if let Some(consumer) = consumer {
            consumer.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn only_the_item_that_makes_the_number_full_wakes() {
        let inbox = Inbox::new(100, 1000);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut wait = Box::pin(inbox.wait(3));
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        for (item, woken) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
            inbox.push(item, 1).unwrap();
            assert_eq!(count.0.load(Ordering::SeqCst), woken);
        }
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        let mut items = Vec::new();
        inbox.take(&mut items);
        assert_eq!((items, inbox.len()), (vec![1, 2, 3, 4], 0));
    }

    #[test]
    fn limits_refuse_at_once() {
        let inbox = Inbox::new(2, 100);
        inbox.push('a', 60).unwrap();
        assert_eq!(inbox.push('b', 60), Err(('b', SubmitError::Overloaded { waiting: 1 })));
        inbox.push('b', 40).unwrap();
        assert_eq!(inbox.push('c', 0), Err(('c', SubmitError::Overloaded { waiting: 2 })));
        inbox.take(&mut Vec::new());
        inbox.push('c', 100).unwrap();
    }

    #[test]
    fn closing_wakes_and_a_failure_outdoes_it() {
        let inbox = Inbox::<()>::new(2, 100);
        block_on(async {
            assert!(poll_once(inbox.wait(1)).await.is_none());
            inbox.close();
            assert_eq!(poll_once(inbox.wait(1)).await, Some(()));
            assert_eq!(poll_once(inbox.wait(usize::MAX)).await, None);
        });
        assert_eq!(inbox.push((), 1), Err(((), SubmitError::Stopping)));
        inbox.fail("disk".into());
        inbox.close();
        assert_eq!(inbox.push((), 1), Err(((), SubmitError::Failed("disk".into()))));
    }
}

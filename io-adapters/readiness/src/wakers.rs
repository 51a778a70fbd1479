//! One wake-up slot of a reactor, shared.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Lets any number of tasks wait on a reactor's slot that remembers only the last waker: the slot holds this, and this
/// wakes them all. A task that went away costs one idle wake-up at most.
#[derive(Debug, Default)]
pub struct SharedWaker {
    waiting: Mutex<Vec<Waker>>,
}

impl SharedWaker {
    /// Polls `slot` with a waker that wakes every task that waits here.
    pub fn poll<T>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        slot: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // Before the slot is polled: a wake-up in between must find this task.
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
        }
        slot(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }
}

impl Wake for SharedWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in waiting {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A reactor's slot: remembers the last waker only.
    fn wait(shared: &Arc<SharedWaker>, slot: &mut Option<Waker>, task: &Arc<Count>) {
        let waker = Waker::from(Arc::clone(task));
        let polled = shared.poll(&Context::from_waker(&waker), |cx| {
            *slot = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert_eq!(polled, Poll::Pending);
    }

    #[test]
    fn one_wake_up_of_the_slot_reaches_every_task_once() {
        let (shared, first, second) = (Arc::default(), Arc::default(), Arc::<Count>::default());
        let mut slot = None;
        wait(&shared, &mut slot, &first);
        wait(&shared, &mut slot, &first);
        wait(&shared, &mut slot, &second);
        slot.take().unwrap().wake();
        assert_eq!([&first, &second].map(|task| task.0.load(Ordering::SeqCst)), [1, 1]);
        wait(&shared, &mut slot, &second);
        slot.take().unwrap().wake();
        assert_eq!([&first, &second].map(|task| task.0.load(Ordering::SeqCst)), [1, 2]);
    }
}

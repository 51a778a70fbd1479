//! Cancellation tokens with children.

use event_listener::Event;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A flag that can be waited for. Clones share it; cancelling a token cancels its children, never its parent.
#[derive(Clone, Debug, Default)]
pub struct CancellationToken {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    event: Event,
    children: Mutex<Vec<Weak<Shared>>>,
    /// Kept while a child lives, so that a cancellation from further up reaches it.
    _parent: Option<Arc<Shared>>,
}

impl CancellationToken {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is cancelled with this one, or alone.
    #[must_use]
    pub fn child(&self) -> Self {
        let shared = Shared { _parent: Some(Arc::clone(&self.shared)), ..Shared::default() };
        let child = Self { shared: Arc::new(shared) };
        {
            let mut children = self.shared.children();
            // Forget children that are gone whenever the list would have to grow.
            if children.len() == children.capacity() {
                children.retain(|child| child.strong_count() > 0);
            }
            children.push(Arc::downgrade(&child.shared));
        }
        // After it is listed: a cancellation in between reaches it one way or the other.
        if self.is_cancelled() {
            child.cancel();
        }
        child
    }

    /// Cancels this token and all its descendants. Again is a no-op.
    pub fn cancel(&self) {
        let mut stack = vec![Arc::clone(&self.shared)];
        while let Some(shared) = stack.pop() {
            if !shared.cancelled.swap(true, Ordering::SeqCst) {
                shared.event.notify(usize::MAX);
                stack.extend(std::mem::take(&mut *shared.children()).iter().filter_map(Weak::upgrade));
            }
        }
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// Waits until it is cancelled; at once when it already is. Cancel safe.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + Unpin + 'static {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            while !shared.cancelled.load(Ordering::SeqCst) {
                let listener = shared.event.listen();
                if !shared.cancelled.load(Ordering::SeqCst) {
                    listener.await;
                }
            }
        })
    }

    /// Runs `future` until it ends or the token is cancelled, whichever is first (the future, when both are ready);
    /// `None` means cancelled, and the future was dropped: it must be cancel safe.
    pub async fn run_until<F: Future>(&self, future: F) -> Option<F::Output> {
        match select(pin!(future), self.cancelled()).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(((), _)) => None,
        }
    }
}

impl Shared {
    fn children(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Self>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests wake from threads of their own")]
mod tests {
    use super::*;
    use crate::flow::testing::NotesDrop;
    use futures_lite::future::{block_on, poll_once, ready};

    #[test]
    fn cancelling_reaches_descendants_and_never_ancestors() {
        let root = CancellationToken::new();
        let (left, right) = (root.child(), root.child());
        let leaf = left.child();
        left.cancel();
        assert!(left.is_cancelled() && leaf.is_cancelled());
        assert!(!root.is_cancelled() && !right.is_cancelled());
        root.cancel();
        root.cancel();
        assert!(right.is_cancelled());
        assert!(right.child().is_cancelled(), "a child of a cancelled token starts out cancelled");
    }

    #[test]
    fn a_leaf_is_reached_through_a_parent_that_nobody_holds_and_dead_ones_are_forgotten() {
        let root = CancellationToken::new();
        let leaf = root.child().child();
        for _ in 0..10_000 {
            drop(root.child());
        }
        assert!(root.shared.children().len() < 100, "children that are gone are forgotten");
        root.cancel();
        assert!(leaf.is_cancelled());
    }

    #[test]
    fn waiters_are_woken_from_another_thread() {
        let token = CancellationToken::new();
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let token = token.child();
                std::thread::spawn(move || block_on(token.cancelled()))
            })
            .collect();
        token.cancel();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    }

    #[test]
    fn run_until_drops_the_future_and_prefers_its_result() {
        let token = CancellationToken::new();
        let held = NotesDrop::default();
        let watch = held.watch();
        block_on(async {
            let mut running = Box::pin(token.run_until(held.forever::<()>()));
            assert!(poll_once(&mut running).await.is_none());
            token.cancel();
            assert_eq!(running.await, None);
            assert!(watch.dropped());
            assert_eq!(token.run_until(ready(1)).await, Some(1));
        });
    }
}

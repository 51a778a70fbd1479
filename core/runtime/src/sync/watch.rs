//! A channel that holds the latest value.

use event_listener::Event;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A channel that holds one value, at first `value`; receivers learn that it has changed, and see the latest.
#[must_use]
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let state = State { value, version: 0, senders: 1 };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Event::new() });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared, seen: 0 })
}

/// All senders are gone and the last value was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the watched value has no senders any more")]
pub struct Closed;

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Event,
}

#[derive(Debug)]
struct State<T> {
    value: T,
    /// Counts changes.
    version: u64,
    senders: usize,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes the value. Clones change the same one.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Replaces the value and returns the one before.
    pub fn send(&self, value: T) -> T {
        let before = {
            let mut state = self.shared.state();
            state.version = state.version.wrapping_add(1);
            std::mem::replace(&mut state.value, value)
        };
        self.shared.changed.notify(usize::MAX);
        before
    }

    /// Changes the value in place; receivers are told when `change` returns true. It runs under the channel's lock: it
    /// must be short and must not use the channel. Returns what `change` did.
    pub fn send_if(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let changed = {
            let mut state = self.shared.state();
            let changed = change(&mut state.value);
            state.version = state.version.wrapping_add(u64::from(changed));
            changed
        };
        if changed {
            self.shared.changed.notify(usize::MAX);
        }
        changed
    }

    /// A receiver for which the present value counts as seen.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.shared.state().version;
        Receiver { shared: Arc::clone(&self.shared), seen }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.state().senders += 1;
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let last = {
            let mut state = self.shared.state();
            state.senders -= 1;
            state.senders == 0
        };
        if last {
            self.shared.changed.notify(usize::MAX);
        }
    }
}

/// Sees the latest value. A clone has seen what the original has.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The version that was seen last.
    seen: u64,
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Receiver<T> {
    /// Looks at the value without marking it as seen. `look` runs under the channel's lock: it must be short and must
    /// not use the channel.
    pub fn with<O>(&self, look: impl FnOnce(&T) -> O) -> O {
        look(&self.shared.state().value)
    }

    /// The present value, marked as seen.
    pub fn get(&mut self) -> T
    where
        T: Clone,
    {
        let state = self.shared.state();
        self.seen = state.version;
        state.value.clone()
    }

    /// Whether the value has changed since it was seen last.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.shared.state().version != self.seen
    }

    /// Waits until the value differs from the one seen last, and marks it as seen. Changes in between are skipped.
    ///
    /// Cancel safety: cancel safe; a change counts as seen only when this is ready.
    ///
    /// # Errors
    /// [`Closed`] when all senders are gone and the last value was seen.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            if let Some(result) = self.see() {
                return result;
            }
            let listener = self.shared.changed.listen();
            // Again, now that a change in between is sure to wake the listener.
            if let Some(result) = self.see() {
                return result;
            }
            listener.await;
        }
    }

    /// Waits until `wanted` holds for the value (at once when it does), marks it as seen and returns it.
    ///
    /// Cancel safety: cancel safe.
    ///
    /// # Errors
    /// [`Closed`] when all senders are gone and it does not hold for the last value.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<T, Closed>
    where
        T: Clone,
    {
        loop {
            {
                let state = self.shared.state();
                self.seen = state.version;
                if wanted(&state.value) {
                    return Ok(state.value.clone());
                }
            }
            self.changed().await?;
        }
    }

    fn see(&mut self) -> Option<Result<(), Closed>> {
        let state = self.shared.state();
        if state.version != self.seen {
            self.seen = state.version;
            return Some(Ok(()));
        }
        (state.senders == 0).then_some(Err(Closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn receivers_see_the_latest_value_and_the_end() {
        let (sender, mut receiver) = channel(0);
        let mut other = receiver.clone();
        assert!(!receiver.has_changed());
        assert_eq!(sender.send(1), 0);
        assert_eq!(sender.send(2), 1);
        block_on(async {
            assert_eq!(receiver.changed().await, Ok(()));
            assert_eq!(receiver.get(), 2);
            let mut waiting = Box::pin(receiver.changed());
            assert!(poll_once(&mut waiting).await.is_none());
            sender.send(3);
            assert_eq!(waiting.await, Ok(()));
            drop(sender);
            assert_eq!(receiver.changed().await, Err(Closed));
            // The last value is seen before the end.
            assert_eq!(other.changed().await, Ok(()));
            assert_eq!(other.get(), 3);
            assert_eq!(other.changed().await, Err(Closed));
        });
    }

    #[test]
    fn a_change_that_is_none_wakes_nobody() {
        let (sender, mut receiver) = channel(5);
        block_on(async {
            let mut waiting = Box::pin(receiver.changed());
            assert!(poll_once(&mut waiting).await.is_none());
            assert!(!sender.send_if(|_| false));
            assert!(poll_once(&mut waiting).await.is_none());
            assert!(sender.send_if(|value| {
                *value += 1;
                true
            }));
            assert_eq!(waiting.await, Ok(()));
        });
        assert_eq!(receiver.with(|value| *value), 6);
    }

    #[test]
    fn wait_for_looks_at_the_present_value_first() {
        let (sender, mut receiver) = channel(10);
        block_on(async {
            assert_eq!(receiver.wait_for(|value| *value == 10).await, Ok(10));
            let mut waiting = Box::pin(receiver.wait_for(|value| *value > 11));
            sender.send(11);
            assert!(poll_once(&mut waiting).await.is_none());
            sender.send(12);
            assert_eq!(waiting.await, Ok(12));
            drop(sender);
            assert_eq!(receiver.wait_for(|value| *value == 0).await, Err(Closed));
        });
    }
}

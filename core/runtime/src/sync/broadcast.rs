//! A bounded channel in which every receiver gets every value.

use event_listener::Event;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A channel that keeps the last `capacity` values for receivers that are behind.
///
/// Sending never waits: a receiver that falls further behind is told how many values it has missed.
#[must_use]
pub fn channel<T: Clone>(capacity: NonZeroUsize) -> (Sender<T>, Receiver<T>) {
    let state = State { values: VecDeque::new(), first: 0, senders: 1, receivers: 1 };
    let shared = Arc::new(Shared { capacity, state: Mutex::new(state), sent: Event::new() });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared, next: 0 })
}

/// Why nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// So many values were overwritten before this receiver took them; the next call gives the oldest that is left.
    #[error("the receiver lagged behind and missed {0} values")]
    Lagged(u64),
    /// All senders are gone and all values were taken.
    #[error("the broadcast channel is closed")]
    Closed,
}

/// Why [`Receiver::try_recv`] has nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// Nothing new now.
    #[error("the broadcast channel is empty")]
    Empty,
    /// Nothing new, for a reason that waiting does not change.
    #[error(transparent)]
    Failed(#[from] RecvError),
}

/// Nobody is there to receive; the value comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broadcast channel has no receivers")]
pub struct SendError<T>(pub T);

#[derive(Debug)]
struct Shared<T> {
    capacity: NonZeroUsize,
    state: Mutex<State<T>>,
    sent: Event,
}

#[derive(Debug)]
struct State<T> {
    values: VecDeque<T>,
    /// The number of the first value that is kept; values are numbered from 0.
    first: u64,
    senders: usize,
    receivers: usize,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// The number of the next value to be sent.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.values.len() as u64)
    }
}

/// Sends to all receivers. Clones send into the same channel.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Clone> Sender<T> {
    /// Sends to all receivers there are, overwriting the oldest value when the channel is full. Returns how many
    /// receivers there are.
    ///
    /// # Errors
    /// [`SendError`] when there are none.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let (receivers, overwritten) = {
            let mut state = self.shared.state();
            if state.receivers == 0 {
                return Err(SendError(value));
            }
            let full = state.values.len() >= self.shared.capacity.get();
            let overwritten = if full { state.values.pop_front() } else { None };
            state.first = state.first.saturating_add(u64::from(full));
            state.values.push_back(value);
            (state.receivers, overwritten)
        };
        // Dropped outside the lock: its destructor is the caller's code.
        drop(overwritten);
        self.shared.sent.notify(usize::MAX);
        Ok(receivers)
    }

    /// A receiver of what is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.shared.state();
        state.receivers += 1;
        Receiver { next: state.end(), shared: Arc::clone(&self.shared) }
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
            self.shared.sent.notify(usize::MAX);
        }
    }
}

/// Receives every value from when it was made. A clone goes on from the same place on its own.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The number of the next value to take.
    next: u64,
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next value.
    ///
    /// Cancel safety: cancel safe; a value counts as taken only when it is returned.
    ///
    /// # Errors
    /// [`RecvError::Lagged`] once after values were missed, [`RecvError::Closed`] at the end.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        loop {
            let listener = match self.try_recv() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Failed(error)) => return Err(error),
                Err(TryRecvError::Empty) => self.shared.sent.listen(),
            };
            // Again, now that a value sent in between is sure to wake the listener.
            match self.try_recv() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Failed(error)) => return Err(error),
                Err(TryRecvError::Empty) => listener.await,
            }
        }
    }

    /// The next value, when there is one.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] when there is none yet, or as [`Receiver::recv`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let state = self.shared.state();
        if self.next < state.first {
            let missed = state.first - self.next;
            self.next = state.first;
            return Err(RecvError::Lagged(missed).into());
        }
        let position = usize::try_from(self.next - state.first).unwrap_or(usize::MAX);
        match state.values.get(position) {
            Some(value) => {
                let value = value.clone();
                self.next += 1;
                Ok(value)
            }
            None if state.senders == 0 => Err(RecvError::Closed.into()),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.state().receivers += 1;
        Self { shared: Arc::clone(&self.shared), next: self.next }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.state().receivers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};
    use proptest::prelude::*;

    fn capacity(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    #[test]
    fn every_receiver_gets_every_value() {
        let (sender, mut first) = channel(capacity(8));
        let mut second = sender.subscribe();
        assert_eq!(sender.send(1), Ok(2));
        let mut third = sender.subscribe();
        assert_eq!(sender.send(2), Ok(3));
        drop(sender);
        block_on(async {
            for receiver in [&mut first, &mut second] {
                assert_eq!(receiver.recv().await, Ok(1));
                assert_eq!(receiver.recv().await, Ok(2));
                assert_eq!(receiver.recv().await, Err(RecvError::Closed));
            }
            assert_eq!(third.recv().await, Ok(2));
        });
    }

    #[test]
    fn sending_to_nobody_gives_the_value_back() {
        let (sender, receiver) = channel(capacity(1));
        drop(receiver);
        assert_eq!(sender.send(7), Err(SendError(7)));
    }

    #[test]
    fn a_waiting_receiver_is_woken_by_a_value_and_by_the_end() {
        let (sender, mut receiver) = channel(capacity(2));
        block_on(async {
            let mut waiting = Box::pin(receiver.recv());
            assert!(poll_once(&mut waiting).await.is_none());
            sender.send(5).unwrap();
            assert_eq!(waiting.await, Ok(5));
            let mut waiting = Box::pin(receiver.recv());
            assert!(poll_once(&mut waiting).await.is_none());
            drop(sender);
            assert_eq!(waiting.await, Err(RecvError::Closed));
        });
    }

    proptest! {
        /// Received and missed values together are exactly what was sent, in order.
        #[test]
        fn nothing_is_lost_in_silence(size in 1_usize..6, steps in proptest::collection::vec(any::<bool>(), 0..200)) {
            let (sender, mut receiver) = channel(capacity(size));
            let (mut sent, mut expected) = (0_u64, 0_u64);
            for send in steps {
                if send {
                    sender.send(sent).unwrap();
                    sent += 1;
                } else {
                    match receiver.try_recv() {
                        Ok(value) => {
                            prop_assert_eq!(value, expected);
                            expected += 1;
                        }
                        Err(TryRecvError::Failed(RecvError::Lagged(missed))) => {
                            expected += missed;
                            prop_assert_eq!(sent - expected, size as u64);
                        }
                        Err(error) => {
                            prop_assert_eq!(error, TryRecvError::Empty);
                            prop_assert_eq!(sent, expected);
                        }
                    }
                }
            }
        }
    }
}

//! How many calls run at once, and how many wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::or;
use shroud_runtime::sync::Semaphore;

use crate::CallError;

/// Lets a bounded number of calls run, and a bounded number wait for their turn.
#[derive(Debug)]
pub(crate) struct Admission {
    turns: Semaphore,
    waiting: AtomicUsize,
    max_waiting: usize,
}

impl Admission {
    pub(crate) fn new(max_running: usize, max_waiting: usize) -> Self {
        Self { turns: Semaphore::new(max_running.max(1)), waiting: AtomicUsize::new(0), max_waiting }
    }

    /// Waits for a turn until `expired` is ready, then does `work`. `expired` is not polled when there is a turn at once.
    ///
    /// Cancel safe as far as `work` is: dropping it gives up the place in the queue, or the turn.
    pub(crate) async fn admit<T>(
        &self,
        expired: impl Future<Output = ()> + Send,
        work: impl Future<Output = T> + Send,
    ) -> Result<T, CallError> {
        let _turn = match self.turns.try_acquire() {
            Some(turn) => turn,
            None => {
                let _place = self.queue()?;
                let turn = async { Some(self.turns.acquire().await) };
                let none = async {
                    expired.await;
                    None
                };
                or(turn, none).await.ok_or(CallError::NoTurn)?
            }
        };
        Ok(work.await)
    }

    fn queue(&self) -> Result<Place<'_>, CallError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiting);
        if before >= self.max_waiting {
            return Err(CallError::Overloaded { waiting: self.max_waiting });
        }
        Ok(place)
    }
}

/// A place in the queue, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn turns_and_places_are_bounded_and_come_back() {
        let admission = Admission::new(1, 1);
        let mut running = Box::pin(admission.admit(pending(), pending::<()>()));
        assert!(block_on(poll_once(&mut running)).is_none());

        let mut waiting = Box::pin(admission.admit(pending(), ready(7)));
        assert!(block_on(poll_once(&mut waiting)).is_none());
        let refused = block_on(admission.admit(pending(), ready(8)));
        assert_eq!(refused, Err(CallError::Overloaded { waiting: 1 }));

        drop(running);
        assert_eq!(block_on(waiting), Ok(7));
        assert_eq!(block_on(admission.admit(pending(), ready(9))), Ok(9));
    }

    #[test]
    fn waiting_ends_at_the_deadline() {
        let admission = Admission::new(1, 5);
        let mut running = Box::pin(admission.admit(pending(), pending::<()>()));
        assert!(block_on(poll_once(&mut running)).is_none());
        for _ in 0..10 {
            assert_eq!(block_on(admission.admit(ready(()), ready(1))), Err(CallError::NoTurn));
        }
        drop(running);
        assert_eq!(block_on(admission.admit(ready(()), ready(1))), Ok(1));
    }
}

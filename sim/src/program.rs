//! What came of a program on a host.

use shroud_runtime::{CancellationToken, TaskError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A program that was started on a host: one main on each shard. Dropping this changes nothing.
pub struct Program<T> {
    pub(crate) shared: Arc<Shared<T>>,
}

pub(crate) struct Shared<T> {
    state: Mutex<State<T>>,
    pub(crate) stop: CancellationToken,
}

struct State<T> {
    results: Vec<Option<Result<T, TaskError>>>,
    running: bool,
}

impl<T> Program<T> {
    pub(crate) fn new(shards: usize, stop: CancellationToken) -> Self {
        let results = (0..shards).map(|_| None).collect();
        let state = Mutex::new(State { results, running: true });
        Self { shared: Arc::new(Shared { state, stop }) }
    }

    /// Whether it has neither ended nor crashed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.shared.state().running
    }

    /// Asks it to stop, as a signal would.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// Each shard's result so far, in order, taken out: `None` for one that has not ended, or never will after a crash.
    #[must_use]
    pub fn results(&self) -> Vec<Option<Result<T, TaskError>>> {
        self.shared.state().results.iter_mut().map(Option::take).collect()
    }
}

impl<T> Clone for Program<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> std::fmt::Debug for Program<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("running", &self.is_running()).finish_non_exhaustive()
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a shard's result; whether it was the last.
    pub(crate) fn put(&self, shard: usize, result: Result<T, TaskError>) -> bool {
        let mut state = self.state();
        if let Some(place) = state.results.get_mut(shard) {
            *place = Some(result);
        }
        let last = state.results.iter().all(Option::is_some);
        state.running &= !last;
        last
    }

    pub(crate) fn crashed(&self) {
        self.state().running = false;
    }
}

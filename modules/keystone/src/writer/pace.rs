//! Letting the other tasks of the shard run.

use std::time::{Duration, Instant};

use futures_lite::future::yield_now;
use shroud_runtime::Runtime;

/// Steps between rests at most: bounds them where time stands still, as in a simulator.
const MAX_STEPS: u32 = 256;

/// Rests whenever a slice of time is used up.
#[derive(Debug)]
pub(super) struct Pace<R> {
    runtime: R,
    slice: Duration,
    since: Instant,
    steps: u32,
}

impl<R: Runtime> Pace<R> {
    pub(super) fn new(runtime: R, slice: Duration) -> Self {
        let since = runtime.now();
        Self { runtime, slice, since, steps: 0 }
    }

    /// Whether it is time to rest; call it after each step of work.
    pub(super) fn is_due(&mut self) -> bool {
        self.steps += 1;
        self.steps >= MAX_STEPS || self.runtime.now().saturating_duration_since(self.since) >= self.slice
    }

    /// Lets others run.
    pub(super) async fn rest(&mut self) {
        yield_now().await;
        self.restart();
    }

    /// A new slice begins: others have run.
    pub(super) fn restart(&mut self) {
        self.since = self.runtime.now();
        self.steps = 0;
    }
}

//! So many a second: the generic cell rate algorithm, which behaves as a token bucket and keeps one number.

use crate::runtime::{Runtime, RuntimeExt};
use crate::sync;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A rate, and how much may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// So many...
    pub count: NonZeroU32,
    /// ...in this time. Zero means no limit.
    pub period: Duration,
    /// So many may come at once after a rest: the bucket's size.
    pub burst: NonZeroU32,
}

impl RateLimits {
    /// `count` a second, all of which may come at once.
    #[must_use]
    pub const fn per_second(count: NonZeroU32) -> Self {
        Self { count, period: Duration::from_secs(1), burst: count }
    }
}

/// It was not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// Not now: try again after this long.
    #[error("over the rate limit; try again in {0:?}")]
    Later(Duration),
    /// Never: it is more than may ever come at once.
    #[error("a cost of {cost} is over the burst limit of {burst}")]
    OverBurst {
        /// What was asked for.
        cost: u32,
        /// What may come at once.
        burst: u32,
    },
}

/// Allows so many a second. Clones share the allowance, also across shards.
#[derive(Debug, Clone)]
pub struct RateLimiter<R> {
    runtime: R,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    gcra: Mutex<Gcra>,
    /// Those who wait, one after the other in the order of their coming.
    turn: sync::Mutex<()>,
}

impl<R: Runtime> RateLimiter<R> {
    /// A limiter whose bucket is full.
    #[must_use]
    pub fn new(runtime: R, limits: RateLimits) -> Self {
        let gcra = Gcra::new(limits, runtime.now());
        Self { shared: Arc::new(Shared { gcra: Mutex::new(gcra), turn: sync::Mutex::new(()) }), runtime }
    }

    /// Takes `cost` now or not at all. Does not queue behind those who wait in [`RateLimiter::acquire`].
    ///
    /// # Errors
    /// [`RateError`]: later, or never.
    pub fn try_acquire(&self, cost: u32) -> Result<(), RateError> {
        let now = self.runtime.now();
        self.shared.gcra.lock().unwrap_or_else(PoisonError::into_inner).take(now, cost)
    }

    /// Waits until `cost` is allowed, in the order of the calls, and takes it.
    ///
    /// Cancel safety: cancel safe; when dropped, nothing was taken, and the place in the queue is lost.
    ///
    /// # Errors
    /// [`RateError::OverBurst`] only.
    pub async fn acquire(&self, cost: u32) -> Result<(), RateError> {
        let _turn = self.shared.turn.lock().await;
        loop {
            match self.try_acquire(cost) {
                Err(RateError::Later(wait)) => self.runtime.sleep(wait).await,
                result => return result,
            }
        }
    }
}

/// The algorithm, with time as an input. Counts in units of 1 / `count` nanoseconds, so that every rate is exact.
#[derive(Debug)]
struct Gcra {
    limits: RateLimits,
    start: Instant,
    /// Units after `start` at which the bucket will be full again.
    full_at: u128,
}

impl Gcra {
    fn new(limits: RateLimits, now: Instant) -> Self {
        Self { limits, start: now, full_at: 0 }
    }

    fn take(&mut self, now: Instant, cost: u32) -> Result<(), RateError> {
        let RateLimits { count, period, burst } = self.limits;
        if cost > burst.get() {
            return Err(RateError::OverBurst { cost, burst: burst.get() });
        }
        let count = u128::from(count.get());
        // One token takes `period` nanoseconds / count = `period` units to come back.
        let units = |tokens: u32| u128::from(tokens).saturating_mul(period.as_nanos());
        let now = now.saturating_duration_since(self.start).as_nanos().saturating_mul(count);
        let full_at = self.full_at.max(now).saturating_add(units(cost));
        let over = full_at.saturating_sub(now.saturating_add(units(burst.get())));
        if over > 0 {
            let wait = u64::try_from(over.div_ceil(count)).unwrap_or(u64::MAX);
            return Err(RateError::Later(Duration::from_nanos(wait)));
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cost_over_the_burst_is_never_allowed() {
        let limits =
            RateLimits { burst: NonZeroU32::new(3).unwrap(), ..RateLimits::per_second(NonZeroU32::MIN) };
        let mut gcra = Gcra::new(limits, origin());
        assert_eq!(gcra.take(origin(), 4), Err(RateError::OverBurst { cost: 4, burst: 3 }));
        assert_eq!(gcra.take(origin(), 3), Ok(()));
        assert_eq!(gcra.take(origin(), 1), Err(RateError::Later(Duration::from_secs(1))));
    }

    proptest! {
        /// In no window does more pass than the burst and the rate allow; and the wait that is told is exact.
        #[test]
        fn never_over_the_rate(
            count in 1_u32..2_000_000_000,
            period in 1_u64..5_000_000_000,
            burst in 1_u32..50,
            steps in proptest::collection::vec((0_u64..3_000_000_000, 1_u32..50), 1..80),
        ) {
            let limits = RateLimits {
                count: NonZeroU32::new(count).unwrap(),
                period: Duration::from_nanos(period),
                burst: NonZeroU32::new(burst).unwrap(),
            };
            let origin = origin();
            let mut gcra = Gcra::new(limits, origin);
            let mut elapsed = 0_u64;
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (wait, cost) in steps {
                elapsed += wait;
                let cost = cost.min(burst);
                let mut now = elapsed;
                if let Err(error) = gcra.take(origin + Duration::from_nanos(now), cost) {
                    let RateError::Later(wait) = error else { panic!("{error}") };
                    let wait = u64::try_from(wait.as_nanos()).unwrap();
                    prop_assert!(wait > 0);
                    let early = gcra.take(origin + Duration::from_nanos(now + wait - 1), cost);
                    prop_assert!(early.is_err());
                    now += wait;
                    prop_assert_eq!(gcra.take(origin + Duration::from_nanos(now), cost), Ok(()));
                }
                elapsed = now;
                taken.push((now, u64::from(cost)));
            }
            for first in 0..taken.len() {
                let mut sum = 0_u128;
                for &(at, cost) in &taken[first..] {
                    sum += u128::from(cost);
                    let window = u128::from(at - taken[first].0);
                    // sum <= burst + window * count / period
                    let allowed = u128::from(burst) * u128::from(period) + window * u128::from(count);
                    prop_assert!(sum * u128::from(period) <= allowed);
                }
            }
        }
    }

    /// Any instant will do.
    #[allow(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn origin() -> Instant {
        static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *ORIGIN.get_or_init(Instant::now)
    }
}

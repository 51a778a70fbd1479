//! A host's clocks.

use std::time::Duration;

/// When the simulated world begins, on clocks that are right: 2026-01-01 00:00 UTC.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// How a host's clocks differ from the world's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockSkew {
    /// How much faster than true time they run, in parts per million; negative: slower.
    pub drift_ppm: i32,
    /// How far the wall clock is ahead, in nanoseconds; negative: behind.
    pub wall_ahead: i64,
}

/// A host's clocks: a monotonic one that may drift, and a wall clock that may also jump.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// The monotonic clock showed `shown` at world time `at`, and has run at `rate` since.
    at: u64,
    shown: u64,
    drift_ppm: i64,
    wall_ahead: i128,
}

/// The slowest that a clock may run: half as fast.
const SLOWEST: i64 = -500_000;
/// The fastest: twice as fast.
const FASTEST: i64 = 1_000_000;
const MILLION: i128 = 1_000_000;

impl Clock {
    /// A clock that has run for `uptime` when the world begins.
    pub(crate) fn new(uptime: u64, skew: ClockSkew) -> Self {
        let drift_ppm = i64::from(skew.drift_ppm).clamp(SLOWEST, FASTEST);
        Self { at: 0, shown: uptime, drift_ppm, wall_ahead: i128::from(skew.wall_ahead) - i128::from(uptime) }
    }

    /// What the monotonic clock shows at world time `now`, in nanoseconds.
    pub(crate) fn monotonic(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.at);
        if self.drift_ppm == 0 {
            return self.shown.saturating_add(passed);
        }
        let run = i128::from(passed) * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        self.shown.saturating_add(u64::try_from(run).unwrap_or(u64::MAX))
    }

    /// The first world time at which the monotonic clock shows at least `shown`.
    pub(crate) fn when(&self, shown: u64) -> u64 {
        let left = shown.saturating_sub(self.shown);
        if self.drift_ppm == 0 {
            return self.at.saturating_add(left);
        }
        let rate = MILLION + i128::from(self.drift_ppm);
        let passed = (i128::from(left) * MILLION + rate - 1) / rate;
        self.at.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// Since the Unix epoch, by the wall clock.
    pub(crate) fn wall(&self, now: u64) -> Duration {
        let nanoseconds = EPOCH.as_nanos() as i128 + i128::from(self.monotonic(now)) + self.wall_ahead;
        let nanoseconds = u128::try_from(nanoseconds).unwrap_or(0);
        let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, (nanoseconds % 1_000_000_000) as u32)
    }

    /// Moves the wall clock; the monotonic one does not notice.
    pub(crate) fn jump(&mut self, nanoseconds: i64) {
        self.wall_ahead += i128::from(nanoseconds);
    }

    /// Has the clocks run at another rate from now on.
    pub(crate) fn drift(&mut self, now: u64, ppm: i32) {
        self.shown = self.monotonic(now);
        self.at = now;
        self.drift_ppm = i64::from(ppm).clamp(SLOWEST, FASTEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_monotonic_clock_never_goes_back_and_deadlines_are_never_early(
            ppm in -600_000_i32..=1_200_000, later in -600_000_i32..=1_200_000, at in 0..1_u64 << 50, more in 0..1_u64 << 40,
        ) {
            let mut clock = Clock::new(1_000_000_007, ClockSkew { drift_ppm: ppm, wall_ahead: -5 });
            let before = clock.monotonic(at);
            clock.drift(at, later);
            clock.jump(-1_000_000_000_000);
            prop_assert!(clock.monotonic(at) >= before);
            let deadline = clock.monotonic(at) + more;
            let when = clock.when(deadline);
            prop_assert!(when >= at && clock.monotonic(when) >= deadline);
            prop_assert!(when <= at || clock.monotonic(when - 1) < deadline);
        }
    }

    #[test]
    fn the_wall_clock_jumps() {
        let mut clock = Clock::new(500, ClockSkew::default());
        assert_eq!(clock.wall(1_000), EPOCH + Duration::from_nanos(1_000));
        clock.jump(-2_000_000_000);
        assert_eq!(clock.wall(1_000), EPOCH + Duration::from_nanos(1_000) - Duration::from_secs(2));
        clock.jump(i64::MIN);
        clock.jump(i64::MIN);
        assert!(clock.wall(0) < EPOCH);
    }
}

//! Polls that hold their thread: how long, how many, and whose.

use super::stats::Class;
use crate::durations::{DurationCounts, Durations};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Polls of at least this are measured one by one; of shorter ones, only the number is known. Nearly all are shorter, so
/// that counting costs next to nothing.
pub const LONG_POLL: Duration = Duration::from_micros(64);
/// A poll of more than this blocks its thread: nothing else there can run, and what is ready waits.
pub const BLOCKING_POLL: Duration = Duration::from_millis(1);

/// The long polls of one kind of task.
#[derive(Debug, Default)]
pub(crate) struct LongPolls {
    long: Durations,
    blocking: AtomicU64,
    /// Nanoseconds beyond [`BLOCKING_POLL`], summed.
    excess: AtomicU64,
}

impl LongPolls {
    pub(crate) fn record(&self, took: Duration) {
        self.long.record(took);
        if let Some(excess) = took.checked_sub(BLOCKING_POLL).filter(|excess| !excess.is_zero()) {
            self.blocking.fetch_add(1, Relaxed);
            self.excess.fetch_add(u64::try_from(excess.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
    }

    pub(crate) fn reset(&self) {
        self.long.reset();
        self.blocking.store(0, Relaxed);
        self.excess.store(0, Relaxed);
    }

    /// `None` when there was none.
    pub(crate) fn stats(&self, name: &'static str, class: Class) -> Option<(KindPolls, DurationCounts)> {
        let long = self.long.counts();
        let kind = KindPolls {
            name,
            class,
            long: long.count(),
            blocking: self.blocking.load(Relaxed),
            excess: Duration::from_nanos(self.excess.load(Relaxed)),
            longest: long.longest(),
        };
        (kind.long > 0).then_some((kind, long))
    }
}

/// The long polls of all tasks of one name and class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindPolls {
    /// The tasks' name.
    pub name: &'static str,
    /// The tasks' class.
    pub class: Class,
    /// Polls of at least [`LONG_POLL`].
    pub long: u64,
    /// Polls of more than [`BLOCKING_POLL`].
    pub blocking: u64,
    /// What those took beyond it, summed.
    pub excess: Duration,
    /// The longest.
    pub longest: Duration,
}

/// How long single polls held their threads, since the start or the last [`super::Tree::reset_polls`].
///
/// Time is wall time: when the kernel took the processor away in the middle of a poll, the time until it gave it back is in
/// there, as it is for everyone who waits for that thread. On a machine with more threads to run than processors, long polls need not mean
/// long work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PollDurations {
    /// All polls.
    pub polls: u64,
    /// Those of at least [`LONG_POLL`].
    pub long: DurationCounts,
    /// The kinds of task that had such, the one with the longest first.
    pub kinds: Vec<KindPolls>,
}

impl PollDurations {
    /// Adds the polls of another tree.
    pub fn add(&mut self, other: &Self) {
        self.polls = self.polls.saturating_add(other.polls);
        self.long.add(&other.long);
        for kind in &other.kinds {
            match self.kinds.iter_mut().find(|have| (have.name, have.class) == (kind.name, kind.class)) {
                Some(have) => {
                    have.long = have.long.saturating_add(kind.long);
                    have.blocking = have.blocking.saturating_add(kind.blocking);
                    have.excess = have.excess.saturating_add(kind.excess);
                    have.longest = have.longest.max(kind.longest);
                }
                None => self.kinds.push(kind.clone()),
            }
        }
        self.sort();
    }

    /// The kind of task with the longest poll, if any was long.
    #[must_use]
    pub fn longest(&self) -> Option<&KindPolls> {
        self.kinds.first()
    }

    /// A percentile of all polls, `fraction` from 0 to 1. A result of [`LONG_POLL`] means: that or less.
    #[must_use]
    pub fn percentile(&self, fraction: f64) -> Duration {
        self.long.percentile_of(self.polls, fraction).map_or(LONG_POLL, |long| long.max(LONG_POLL))
    }

    /// Polls of more than [`BLOCKING_POLL`].
    #[must_use]
    pub fn blocking(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.blocking).sum()
    }

    /// What those took beyond [`BLOCKING_POLL`], summed. Over the time of all threads, it is the chance that something which
    /// becomes ready at any moment waits for longer than that, for the poll in progress alone.
    #[must_use]
    pub fn excess(&self) -> Duration {
        self.kinds.iter().map(|kind| kind.excess).sum()
    }

    pub(crate) fn sort(&mut self) {
        self.kinds.sort_by_key(|kind| std::cmp::Reverse(kind.longest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, polls: u64, millis: &[u64]) -> PollDurations {
        let recorder = LongPolls::default();
        millis.iter().for_each(|millis| recorder.record(Duration::from_millis(*millis)));
        let stats = recorder.stats(name, Class::General);
        let long = stats.as_ref().map(|stats| stats.1.clone()).unwrap_or_default();
        PollDurations { polls, long, kinds: stats.into_iter().map(|stats| stats.0).collect() }
    }

    #[test]
    fn trees_add_up_and_the_longest_is_named() {
        let mut all = of("reader", 500, &[1, 2]);
        all.add(&of("writer", 400, &[9]));
        all.add(&of("reader", 98, &[4]));
        all.add(&of("idle", 2, &[]));
        assert_eq!((all.polls, all.blocking(), all.kinds.len()), (1000, 3, 2));
        // One millisecond does not block.
        assert_eq!(all.excess(), Duration::from_millis(1 + 8 + 3));
        assert_eq!(all.longest().map(|kind| (kind.name, kind.longest.as_millis())), Some(("writer", 9)));
        assert_eq!((all.percentile(0.5), all.percentile(0.996)), (LONG_POLL, LONG_POLL));
        let edge = all.percentile(0.998);
        assert!((2_000..=2_250).contains(&edge.as_micros()), "{edge:?}");
        assert_eq!(all.percentile(1.0), Duration::from_millis(9));
    }

    #[test]
    fn a_reset_forgets_everything() {
        let polls = LongPolls::default();
        polls.record(Duration::from_secs(1));
        polls.reset();
        assert_eq!(polls.stats("any", Class::General), None);
        assert_eq!(PollDurations::default().percentile(0.999), LONG_POLL);
        assert_eq!(PollDurations::default().longest(), None);
    }
}

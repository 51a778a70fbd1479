//! How long a disk takes.

use crate::chance::Chance;
use std::time::Duration;

/// A distribution of durations: at least `minimum`, by an exponential tail longer, never more than `maximum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// It takes at least so long.
    pub minimum: Duration,
    /// What the tail adds on average.
    pub tail: Duration,
    /// It takes at most so long.
    pub maximum: Duration,
}

/// What is asked of a disk, as far as its duration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Opening or creating a file.
    Open,
    /// Reading bytes or the length.
    Read,
    /// Writing bytes.
    Write,
    /// Reserving space.
    Allocate,
    /// Setting the length.
    SetLength,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDirectory,
    /// Listing, creating, renaming or removing names.
    Names,
}

/// The durations of every verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latencies {
    /// [`Verb::Open`] and [`Verb::Names`].
    pub names: Latency,
    /// [`Verb::Read`].
    pub read: Latency,
    /// [`Verb::Write`].
    pub write: Latency,
    /// [`Verb::Allocate`] and [`Verb::SetLength`].
    pub space: Latency,
    /// [`Verb::Sync`] and [`Verb::SyncDirectory`].
    pub sync: Latency,
    /// Added for every KiB that is read or written.
    pub per_kibibyte: Duration,
}

impl Latency {
    /// It takes no time.
    pub const NONE: Self = Self { minimum: Duration::ZERO, tail: Duration::ZERO, maximum: Duration::ZERO };

    /// In microseconds: at least, the tail's average, and at most.
    #[must_use]
    pub const fn micros(minimum: u64, tail: u64, maximum: u64) -> Self {
        Self {
            minimum: Duration::from_micros(minimum),
            tail: Duration::from_micros(tail),
            maximum: Duration::from_micros(maximum),
        }
    }

    /// The next duration.
    #[must_use]
    pub fn draw(&self, chance: &mut Chance) -> Duration {
        if self.tail.is_zero() {
            return self.minimum.min(self.maximum);
        }
        // An exponential distribution, linear within each halving: integers only, so that every machine draws the same.
        let halvings = u64::from(chance.next_u64().trailing_zeros());
        let halving = self.tail.as_nanos().saturating_mul(693).saturating_div(1000);
        let halving = u64::try_from(halving).unwrap_or(u64::MAX);
        let tail = halving.saturating_mul(halvings).saturating_add(chance.below(halving));
        self.minimum.saturating_add(Duration::from_nanos(tail)).min(self.maximum)
    }
}

impl Latencies {
    /// Everything takes no time.
    pub const NONE: Self = Self {
        names: Latency::NONE,
        read: Latency::NONE,
        write: Latency::NONE,
        space: Latency::NONE,
        sync: Latency::NONE,
        per_kibibyte: Duration::ZERO,
    };

    /// The duration of a verb on so many bytes.
    #[must_use]
    pub fn draw(&self, verb: Verb, bytes: usize, chance: &mut Chance) -> Duration {
        let latency = match verb {
            Verb::Open | Verb::Names => &self.names,
            Verb::Read => &self.read,
            Verb::Write => &self.write,
            Verb::Allocate | Verb::SetLength => &self.space,
            Verb::Sync | Verb::SyncDirectory => &self.sync,
        };
        let kibibytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        latency.draw(chance).saturating_add(self.per_kibibyte.saturating_mul(kibibytes))
    }
}

impl Default for Latencies {
    /// A solid-state disk under a file system: 2 GB/s, syncs of a preallocated file of 0.2 to 0.5 ms with a long tail.
    fn default() -> Self {
        Self {
            names: Latency::micros(5, 15, 5_000),
            read: Latency::micros(5, 60, 20_000),
            write: Latency::micros(2, 8, 5_000),
            space: Latency::micros(20, 80, 20_000),
            sync: Latency::micros(200, 150, 50_000),
            per_kibibyte: Duration::from_nanos(500),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_stay_within_their_limits_and_have_their_average() {
        let latency = Latency::micros(100, 50, 400);
        let mut chance = Chance::new(1);
        let draws: Vec<_> = (0..10_000).map(|_| latency.draw(&mut chance)).collect();
        assert!(draws.iter().all(|draw| (latency.minimum..=latency.maximum).contains(draw)));
        let average = draws.iter().sum::<Duration>() / 10_000;
        assert!((Duration::from_micros(140)..Duration::from_micros(165)).contains(&average), "{average:?}");
        assert!(draws.iter().any(|draw| *draw > Duration::from_micros(250)));
        assert_eq!(Latencies::NONE.draw(Verb::Sync, 1 << 20, &mut chance), Duration::ZERO);
        let read = Latencies::default().draw(Verb::Read, 1 << 20, &mut chance);
        assert!(read > Duration::from_micros(500));
    }
}

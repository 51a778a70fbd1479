//! Durations counted in logarithmic buckets, from any thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Eight buckets for each power of two of a microsecond, up to about 67 s, and one below the first.
const BUCKETS: usize = 8 * 26 + 1;

/// A histogram that takes its samples from any thread; each bucket is 12.5% wide.
#[derive(Debug)]
pub struct Durations {
    buckets: Box<[AtomicU64]>,
    longest: AtomicU64,
}

/// What a histogram held at some moment, or several of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurationCounts {
    buckets: Box<[u64]>,
    longest: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), longest: AtomicU64::new(0) }
    }
}

impl Durations {
    /// Adds one sample: two relaxed atomic operations.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket_of(nanos)) {
            bucket.fetch_add(1, Relaxed);
        }
        self.longest.fetch_max(nanos, Relaxed);
    }

    /// Forgets all samples, to measure one phase of a load. What is recorded meanwhile may be kept or forgotten.
    pub fn reset(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Relaxed);
        }
        self.longest.store(0, Relaxed);
    }

    /// What it holds now.
    #[must_use]
    pub fn counts(&self) -> DurationCounts {
        DurationCounts {
            buckets: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            longest: self.longest.load(Relaxed),
        }
    }
}

impl Default for DurationCounts {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS].into(), longest: 0 }
    }
}

impl DurationCounts {
    /// Adds the samples of another.
    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = bucket.saturating_add(*more);
        }
        self.longest = self.longest.max(other.longest);
    }

    /// How many samples.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The longest sample; zero without any.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }

    /// A percentile, `fraction` from 0 to 1: the upper edge of its bucket, and never more than the longest. Zero without samples.
    #[must_use]
    pub fn percentile(&self, fraction: f64) -> Duration {
        self.percentile_of(self.count(), fraction).unwrap_or_default()
    }

    /// A percentile of `total` samples of which only the longest were recorded; `None` when it is one of the others.
    #[must_use]
    pub fn percentile_of(&self, total: u64, fraction: f64) -> Option<Duration> {
        let rank = (total as f64 * fraction).ceil().max(1.0) as u64;
        let mut below = total.saturating_sub(self.count());
        if rank <= below || total == 0 {
            return None;
        }
        for (index, count) in self.buckets.iter().enumerate() {
            below = below.saturating_add(*count);
            if below >= rank {
                return Some(Duration::from_nanos(upper_edge(index).min(self.longest)));
            }
        }
        Some(self.longest())
    }

    /// The buckets that hold any: upper edge and number of samples, shortest first.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let edges = self.buckets.iter().enumerate().map(|(index, count)| (upper_edge(index), *count));
        edges.filter(|(_, count)| *count > 0).map(|(edge, count)| (Duration::from_nanos(edge), count))
    }
}

/// Bucket 0 holds up to 1,024 ns; from there, eight a doubling.
fn bucket_of(nanos: u64) -> usize {
    if nanos < 1024 {
        return 0;
    }
    let power = nanos.ilog2();
    let eighth = (nanos >> (power - 3)) & 7;
    let bucket = (u64::from(power) - 10) * 8 + eighth + 1;
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn upper_edge(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(1) else { return 1024 };
    let power = above / 8 + 10;
    let eighth = above % 8 + 1;
    (1_u64 << power) + ((eighth as u64) << (power - 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_within_an_eighth_below_the_edge_of_its_bucket() {
        for nanos in (1024..5_000_000_u64).step_by(997) {
            let edge = upper_edge(bucket_of(nanos));
            assert!(nanos < edge, "{nanos} above its edge {edge}");
            assert!(edge - nanos <= nanos / 8 + 1, "{nanos} far below its edge {edge}");
        }
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn percentiles_follow_the_samples() {
        let durations = Durations::default();
        for micros in 1..=1000 {
            durations.record(Duration::from_micros(micros));
        }
        let counts = durations.counts();
        assert_eq!(counts.count(), 1000);
        let micros = |fraction| counts.percentile(fraction).as_secs_f64() * 1e6;
        assert!((500.0..=570.0).contains(&micros(0.5)), "{}", micros(0.5));
        assert!((990.0..=1000.0).contains(&micros(0.999)), "{}", micros(0.999));
        assert_eq!(counts.longest(), Duration::from_micros(1000));
        assert_eq!(counts.buckets().map(|(_, count)| count).sum::<u64>(), 1000);

        let mut twice = counts.clone();
        twice.add(&counts);
        assert_eq!((twice.count(), twice.percentile(0.5)), (2000, counts.percentile(0.5)));

        durations.reset();
        let none = durations.counts();
        assert_eq!((none.count(), none.longest(), none.percentile(0.5)), (0, Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn samples_that_were_too_short_to_record_count_below_the_others() {
        let durations = Durations::default();
        durations.record(Duration::from_millis(3));
        let counts = durations.counts();
        assert_eq!(counts.percentile_of(1000, 0.999), None);
        assert_eq!(counts.percentile_of(999, 0.999), Some(Duration::from_millis(3)));
        assert_eq!(counts.percentile_of(0, 0.5), None);
    }
}

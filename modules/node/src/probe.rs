//! The scheduling-delay probe: how long a task that is ready waits until it is polled.
//!
//! A task takes a short nap, then makes itself ready again and measures the time to its next poll. That time is what
//! stands before any ready task of the shard: the polls queued ahead of it, and nothing of the timer's own accuracy.

use shroud_runtime::{Runtime, RuntimeExt};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

/// The nap between two samples: about 200 samples a second, at a cost that does not show.
const NAP: Duration = Duration::from_millis(5);
/// Buckets of the histogram: eight for each power of two of a microsecond, up to about 67 s.
const BUCKETS: usize = 8 * 26;

/// Delays of one shard, in logarithmic buckets (12.5% wide).
#[derive(Debug)]
pub struct SchedulingDelay {
    buckets: Vec<AtomicU64>,
    max_nanos: AtomicU64,
}

/// Percentiles of the delay.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct DelaySummary {
    /// Samples taken.
    pub samples: u64,
    /// Median, in microseconds (upper edge of its bucket).
    pub p50_us: f64,
    /// 99th percentile, in microseconds.
    pub p99_us: f64,
    /// 99.9th percentile, in microseconds.
    pub p999_us: f64,
    /// The longest, in microseconds.
    pub max_us: f64,
}

impl Default for SchedulingDelay {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max_nanos: AtomicU64::new(0) }
    }
}

impl SchedulingDelay {
    /// Samples until it is dropped.
    pub async fn run<R: Runtime>(&self, runtime: R) {
        loop {
            runtime.sleep(NAP).await;
            let ready = runtime.now();
            let mut yielded = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut yielded, true) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            self.record(runtime.now().saturating_duration_since(ready));
        }
    }

    /// Adds one sample.
    pub fn record(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket_of(nanos)) {
            bucket.fetch_add(1, Relaxed);
        }
        self.max_nanos.fetch_max(nanos, Relaxed);
    }

    /// Forgets all samples, to measure one phase of a load.
    pub fn reset(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Relaxed);
        }
        self.max_nanos.store(0, Relaxed);
    }
}

/// The percentiles over several shards.
#[must_use]
pub fn summarize<'a>(shards: impl IntoIterator<Item = &'a SchedulingDelay>) -> DelaySummary {
    let mut counts = vec![0_u64; BUCKETS];
    let mut max = 0;
    for shard in shards {
        for (count, bucket) in counts.iter_mut().zip(&shard.buckets) {
            *count += bucket.load(Relaxed);
        }
        max = max.max(shard.max_nanos.load(Relaxed));
    }
    let samples: u64 = counts.iter().sum();
    let max_us = max as f64 / 1e3;
    let percentile = |fraction: f64| {
        let rank = (samples as f64 * fraction).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return (upper_edge(index) as f64 / 1e3).min(max_us);
            }
        }
        max_us
    };
    DelaySummary {
        samples,
        p50_us: percentile(0.5),
        p99_us: percentile(0.99),
        p999_us: percentile(0.999),
        max_us,
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
    fn every_delay_lies_within_an_eighth_below_the_edge_of_its_bucket() {
        for nanos in (1024..5_000_000_u64).step_by(997) {
            let edge = upper_edge(bucket_of(nanos));
            assert!(nanos < edge, "{nanos} above its edge {edge}");
            assert!(edge - nanos <= nanos / 8 + 1, "{nanos} far below its edge {edge}");
        }
    }

    #[test]
    fn percentiles_follow_the_samples() {
        let delay = SchedulingDelay::default();
        for micros in 1..=1000 {
            delay.record(Duration::from_micros(micros));
        }
        let summary = summarize([&delay]);
        assert_eq!(summary.samples, 1000);
        assert!((500.0..=570.0).contains(&summary.p50_us), "{summary:?}");
        assert!((990.0..=1000.0).contains(&summary.p999_us), "{summary:?}");
        assert_eq!(summary.max_us, 1000.0);
        delay.reset();
        assert_eq!(summarize([&delay]).samples, 0);
    }
}

//! Latencies in HDR histograms: nanoseconds, three significant digits, a minute at most.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest latency that is told from longer ones.
const MAX_NANOS: u64 = 60_000_000_000;

/// Latencies of one phase.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // The bounds are constants that the library accepts; the fallback never happens.
        let histogram = Histogram::new_with_bounds(100, MAX_NANOS, 3).or_else(|_| Histogram::new(3));
        Self(histogram.unwrap_or_else(|error| unreachable!("three digits are valid: {error}")))
    }
}

impl Latencies {
    /// Adds one; longer than a minute counts as a minute.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(MAX_NANOS);
        self.0.saturating_record(nanos.clamp(1, MAX_NANOS));
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Self) {
        // Equal bounds: adding cannot fail.
        let _ = self.0.add(&other.0);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The usual percentiles.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        Percentiles {
            count: self.0.len(),
            mean_us: self.0.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.0.max() as f64 / 1e3,
        }
    }

    /// Points (percentile, microseconds) for a plot: dense where the tail is, ending at the maximum.
    #[must_use]
    pub fn ladder(&self) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        let mut beyond: f64 = 1.0;
        // Eight steps for each tenfold rarer event, as far as there are samples to speak of it.
        while beyond * self.0.len() as f64 >= 1.0 && points.len() < 64 {
            let quantile = 1.0 - beyond;
            points.push((quantile * 100.0, self.0.value_at_quantile(quantile) as f64 / 1e3));
            beyond /= 10_f64.powf(0.125);
        }
        points
    }

    /// One line of the HdrHistogram interval log, which its own tools read. Values are nanoseconds.
    #[must_use]
    pub fn log_line(&self, tag: &str, start: Duration, length: Duration) -> String {
        let mut out = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let tag: String =
            tag.chars().map(|c| if matches!(c, ',' | ' ' | '\r' | '\n') { '_' } else { c }).collect();
        let written = IntervalLogWriterBuilder::new()
            .begin_log_with(&mut out, &mut serializer)
            .is_ok_and(|mut log| log.write_histogram(&self.0, start, length, Tag::new(&tag)).is_ok());
        if written { String::from_utf8_lossy(&out).trim_end().to_owned() } else { String::new() }
    }
}

/// Percentiles of latencies, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many latencies.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_ladder_follow_the_samples() {
        let mut latencies = Latencies::default();
        for micros in 1..=10_000 {
            latencies.record(Duration::from_micros(micros));
        }
        let percentiles = latencies.percentiles();
        assert!((percentiles.p50_us / 5_000.0 - 1.0).abs() < 0.002, "{percentiles:?}");
        assert!((percentiles.p999_us / 9_990.0 - 1.0).abs() < 0.002, "{percentiles:?}");
        let ladder = latencies.ladder();
        assert!(ladder.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        assert!(ladder.last().unwrap().0 > 99.98);
    }

    #[test]
    fn extremes_are_kept_in_bounds() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::MAX);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.percentiles().max_us >= 59_000_000.0);
    }

    #[test]
    fn log_lines_are_read_back_by_the_library() {
        use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_micros(5));
        let line = latencies.log_line("tokio read, 50%", Duration::from_secs(1), Duration::from_secs(2));
        let log = format!("{line}\n");
        let entries: Vec<_> = IntervalLogIterator::new(log.as_bytes()).collect();
        assert!(
            entries.iter().any(|entry| matches!(entry, Ok(LogEntry::Interval(interval))
            if interval.tag().is_some_and(|tag| tag.as_str() == "tokio_read__50%"))),
            "{line}"
        );
    }
}

//! What the ledger counts about itself.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counters of one ledger, updated by its tasks, read by anyone. Rendered by [`Metrics::render`].
#[derive(Debug, Default)]
pub struct Metrics {
    /// Blocks made durable since the start.
    pub blocks: Counter,
    /// Transactions made durable since the start.
    pub transactions: Counter,
    /// Transactions refused by the state: nonce, funds, gas.
    pub rejected: Counter,
    /// Transactions refused because a queue was full.
    pub shed: Counter,
    /// Submissions of a transaction that was known already.
    pub duplicates: Counter,
    /// Transactions that wait for an earlier nonce.
    pub waiting: Counter,
    /// Bytes written to the journal since the start.
    pub journal_bytes: Counter,
    /// Journal segments begun since the start.
    pub segments: Counter,
    /// The last durable height.
    pub height: Counter,
    /// The height that the store reflects.
    pub store_height: Counter,
    /// Transactions of a block.
    pub batch: Histogram<BATCH_BOUNDS>,
    /// Seconds from writing a block to the end of its sync.
    pub sync: Histogram<TIME_BOUNDS>,
    /// Seconds of applying a block's transactions and computing the commitment, pauses included.
    pub apply: Histogram<TIME_BOUNDS>,
}

/// How many bounds [`Metrics::batch`] has.
pub const BATCH_BOUNDS: usize = 13;
/// How many bounds the times have.
pub const TIME_BOUNDS: usize = 16;

impl Metrics {
    /// Appends all figures in Prometheus' text format. `queued` is the queue's length now.
    pub fn render(&self, queued: usize, out: &mut String) {
        let counters = [
            ("blocks_total", "Blocks made durable.", &self.blocks),
            ("transactions_total", "Transactions made durable.", &self.transactions),
            ("rejected_transactions_total", "Transactions refused by the state.", &self.rejected),
            ("shed_transactions_total", "Transactions refused because a queue was full.", &self.shed),
            ("duplicate_transactions_total", "Submissions of known transactions.", &self.duplicates),
            ("journal_bytes_total", "Bytes written to the journal.", &self.journal_bytes),
            ("journal_segments_total", "Journal segments begun.", &self.segments),
        ];
        for (name, help, counter) in counters {
            header(out, name, help, "counter");
            let _ = writeln!(out, "shroud_ledger_{name} {}", counter.get());
        }
        let gauges = [
            ("height", "The last durable height.", self.height.get()),
            ("store_height", "The height that the store reflects.", self.store_height.get()),
            ("waiting_transactions", "Transactions that wait for an earlier nonce.", self.waiting.get()),
            ("queued_transactions", "Transactions that wait for the writer.", queued as u64),
        ];
        for (name, help, value) in gauges {
            header(out, name, help, "gauge");
            let _ = writeln!(out, "shroud_ledger_{name} {value}");
        }
        self.batch.render("block_transactions", "Transactions of a block.", 1.0, batch_bound, out);
        self.sync.render("sync_seconds", "Write and sync of a block.", 1e6, time_bound, out);
        self.apply.render("apply_seconds", "Application of a block.", 1e6, time_bound, out);
    }
}

fn header(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(out, "# HELP shroud_ledger_{name} {help}\n# TYPE shroud_ledger_{name} {kind}");
}

/// 1, 2, 4 ... 4096.
fn batch_bound(index: usize) -> u64 {
    1 << index
}

/// 50 µs, 100 µs ... 1.6 s, in microseconds.
fn time_bound(index: usize) -> u64 {
    50 << index
}

/// A number that any thread adds to, or sets.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// What it stands at.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// Counts of values by size; each bound is twice the one before. `N` bounds, and one bucket for all above.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    buckets: [AtomicU64; N],
    count: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Histogram<N> {
    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Their sum: transactions, or microseconds.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    fn record(&self, value: u64, bound: impl Fn(usize) -> u64) {
        let bucket = self.buckets.iter().enumerate().find(|(index, _)| value <= bound(*index));
        if let Some((_, bucket)) = bucket {
            bucket.fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    fn render(&self, name: &str, help: &str, per_unit: f64, bound: impl Fn(usize) -> u64, out: &mut String) {
        header(out, name, help, "histogram");
        let mut cumulative = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            cumulative += bucket.load(Relaxed);
            let bound = bound(index) as f64 / per_unit;
            let _ = writeln!(out, "shroud_ledger_{name}_bucket{{le=\"{bound}\"}} {cumulative}");
        }
        let (count, sum) = (self.count(), self.sum() as f64 / per_unit);
        let _ = writeln!(out, "shroud_ledger_{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "shroud_ledger_{name}_sum {sum}\nshroud_ledger_{name}_count {count}");
    }
}

impl Histogram<BATCH_BOUNDS> {
    pub(crate) fn record_count(&self, count: usize) {
        self.record(count as u64, batch_bound);
    }
}

impl Histogram<TIME_BOUNDS> {
    pub(crate) fn record_time(&self, time: Duration) {
        self.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), time_bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_counts_agree() {
        let metrics = Metrics::default();
        metrics.blocks.add(3);
        [1, 2, 3, 5000].into_iter().for_each(|count| metrics.batch.record_count(count));
        metrics.sync.record_time(Duration::from_micros(70));
        let mut text = String::new();
        metrics.render(7, &mut text);
        for line in [
            "shroud_ledger_blocks_total 3",
            "shroud_ledger_queued_transactions 7",
            "shroud_ledger_block_transactions_bucket{le=\"1\"} 1",
            "shroud_ledger_block_transactions_bucket{le=\"2\"} 2",
            "shroud_ledger_block_transactions_bucket{le=\"4\"} 3",
            "shroud_ledger_block_transactions_bucket{le=\"4096\"} 3",
            "shroud_ledger_block_transactions_bucket{le=\"+Inf\"} 4",
            "shroud_ledger_block_transactions_sum 5006",
            "shroud_ledger_sync_seconds_bucket{le=\"0.0001\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
    }
}

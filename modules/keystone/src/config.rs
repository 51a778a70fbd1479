//! What can be set about the ledger.

use std::time::Duration;

use shroud_ledger::block::{MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS};

use crate::KeepSegments;

/// The ledger's settings. [`Config::validate`] says what is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of a journal segment. It must hold the largest block; a power of two of at least 16 MiB serves.
    pub segment_bytes: u64,
    /// Journal segments kept although the store has all their blocks: all, for audits from genesis on, or the last few.
    pub keep_segments: KeepSegments,
    /// Transactions that may wait for the writer. One more is refused at once.
    pub queue_transactions: usize,
    /// Bytes of the transactions that may wait for the writer.
    pub queue_bytes: usize,
    /// Transactions of a block at most.
    pub block_transactions: usize,
    /// While a sync is in flight, wake the writer only when so many transactions wait.
    pub wake_threshold: usize,
    /// Transactions of one account that may wait for an earlier nonce.
    pub waiting_per_account: usize,
    /// Requests that may wait with a transaction for an earlier nonce, over all accounts. Each holds its connection: keep
    /// this below the server's limits, or the earlier transaction finds no room to come in.
    pub waiting: usize,
    /// Bytes of the transactions that may wait for an earlier nonce.
    pub waiting_bytes: usize,
    /// How long a transaction waits for an earlier nonce.
    pub waiting_time: Duration,
    /// Fuel of a slice of a contract call: about a tenth of a millisecond.
    pub slice_fuel: u64,
    /// How long the writer works before it lets other tasks of its shard run.
    pub slice_time: Duration,
    /// Blocks kept in memory for queries, as long as they fit [`Config::recent_bytes`].
    pub recent_blocks: usize,
    /// Bytes of the blocks kept in memory for queries.
    pub recent_bytes: usize,
    /// Blocks by which the store may lag behind the journal before the writer waits for it.
    pub store_lag: usize,
    /// Bytes of compiled contracts kept in memory, by the size of their code.
    pub code_cache_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            keep_segments: KeepSegments::default(),
            queue_transactions: 16_384,
            queue_bytes: 64 << 20,
            block_transactions: MAX_BLOCK_TRANSACTIONS,
            wake_threshold: 64,
            waiting_per_account: 64,
            waiting: 16_384,
            waiting_bytes: 32 << 20,
            waiting_time: Duration::from_secs(30),
            slice_fuel: 100_000,
            slice_time: Duration::from_micros(300),
            recent_blocks: 1024,
            recent_bytes: 64 << 20,
            store_lag: 64,
            code_cache_bytes: 64 << 20,
        }
    }
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger's setting {field} is {value}; it must be {rule}")]
#[non_exhaustive]
pub struct ConfigError {
    /// Which.
    pub field: &'static str,
    /// What it is.
    pub value: u64,
    /// What it must be.
    pub rule: &'static str,
}

/// The smallest segment: the largest block with its record and the segment's header.
pub(crate) const MIN_SEGMENT_BYTES: u64 = MAX_BLOCK_BYTES as u64 + (1 << 20);
/// The largest segment: a scan after a crash reads all of it.
const MAX_SEGMENT_BYTES: u64 = 4 << 30;

impl Config {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first setting that cannot be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds: bool, field, value: u64, rule| match holds {
            true => Ok(()),
            false => Err(ConfigError { field, value, rule }),
        };
        let segment = self.segment_bytes;
        let fits = (MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&segment);
        check(fits, "segment_bytes", segment, "between 9 MiB and 4 GiB")?;
        let block = self.block_transactions;
        let fits = (1..=MAX_BLOCK_TRANSACTIONS).contains(&block);
        check(fits, "block_transactions", block as u64, "between 1 and 4096")?;
        let positive = [
            ("queue_transactions", self.queue_transactions as u64),
            ("queue_bytes", self.queue_bytes as u64),
            ("wake_threshold", self.wake_threshold as u64),
            ("slice_fuel", self.slice_fuel),
            ("recent_blocks", self.recent_blocks as u64),
            ("store_lag", self.store_lag as u64),
        ];
        positive.into_iter().try_for_each(|(field, value)| check(value > 0, field, value, "at least 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_others_are_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let small = Config { segment_bytes: 4096, ..Config::default() };
        assert!(small.validate().unwrap_err().to_string().contains("segment_bytes is 4096"));
        let none = Config { queue_transactions: 0, ..Config::default() };
        assert_eq!(none.validate().unwrap_err().field, "queue_transactions");
    }
}

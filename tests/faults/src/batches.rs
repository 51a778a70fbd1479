//! Batches for stores, each a function of a seed and its height, and what a store must answer after them.

use shroud_crypto::{Address, Hash};
use shroud_io_sim::chance::Chance;
use shroud_ledger::apply::AppliedBlock;
use shroud_ledger::block::{Block, BlockHeader};
use shroud_ledger::receipt::{Receipt, Status};
use shroud_ledger::state::Change;
use shroud_ledger::store::{Store, StoreError, TransactionPlace, WriteBatch};
use shroud_ledger::{Gas, Height, StateTree, Timestamp, TransactionHash};
use std::collections::BTreeMap;
use std::sync::Arc;

/// State keys that there are: few, so that they are changed and removed often.
const KEYS: u64 = 40;

/// An endless chain of batches, height 0 being the genesis.
#[derive(Debug, Clone)]
pub struct Batches {
    chance: Chance,
    /// Bytes of a value at most.
    value_bytes: u64,
}

impl Batches {
    /// The chain of a seed, with values up to so many bytes.
    #[must_use]
    pub const fn new(seed: u64, value_bytes: u64) -> Self {
        Self { chance: Chance::new(seed), value_bytes }
    }

    /// The batch that leads to a height.
    #[must_use]
    pub fn batch(&self, height: u64) -> WriteBatch {
        if height == 0 {
            return WriteBatch { height: Height(0), state: self.changes(0), blocks: Vec::new() };
        }
        WriteBatch::blocks(vec![Arc::new(self.block(height))])
    }

    fn changes(&self, height: u64) -> Vec<Change> {
        let mut chance = self.chance.split_at("changes", height);
        let mut changes = BTreeMap::new();
        for _ in 0..chance.between(1, 8) {
            let key = chance.below(KEYS);
            let mut value = vec![0; usize::try_from(chance.below(self.value_bytes)).unwrap_or(0)];
            chance.fill(&mut value);
            let key = vec![u8::try_from(key).unwrap_or(0); usize::try_from(1 + key).unwrap_or(1)];
            changes.insert(key, (chance.below(4) > 0).then_some(value));
        }
        changes.into_iter().map(|(key, value)| Change { key, value }).collect()
    }

    /// The block of a height. It is well-formed for a store, not for a ledger.
    #[must_use]
    pub fn block(&self, height: u64) -> AppliedBlock {
        let mut chance = self.chance.split_at("block", height);
        let mut hash = || {
            let mut bytes = [0; 32];
            chance.fill(&mut bytes);
            Hash(bytes)
        };
        let (parent, root) = (hash(), hash());
        let count = u32::try_from(height % 4).unwrap_or(0);
        let hashes: Vec<TransactionHash> = (0..count).map(|_| hash()).collect();
        let header = BlockHeader {
            height: Height(height),
            parent,
            timestamp: Timestamp(height),
            transactions_root: root,
            receipts_root: root,
            state_root: root,
            gas_used: Gas(height),
            count,
        };
        let transactions = hashes.iter().map(|hash| Arc::from(hash.0.as_slice())).collect();
        let receipts = hashes.iter().zip(0..).map(|(hash, index)| receipt(*hash, height, index)).collect();
        AppliedBlock {
            hash: header.hash(),
            block: Block { header, transactions },
            hashes,
            receipts,
            postings: Vec::new(),
            changes: self.changes(height),
            tree: StateTree::new(),
        }
    }

    /// The state entries after a height.
    #[must_use]
    pub fn state(&self, height: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut state = BTreeMap::new();
        for change in (0..=height).flat_map(|height| self.changes(height)) {
            match change.value {
                Some(value) => state.insert(change.key, value),
                None => state.remove(&change.key),
            };
        }
        state
    }

    /// Checks everything that a store can be asked against this chain; returns its height.
    ///
    /// # Errors
    /// The store's own.
    ///
    /// # Panics
    /// When an answer is wrong.
    pub fn check(&self, store: &dyn Store, highest: u64) -> Result<Option<u64>, StoreError> {
        let height = store.height()?.map(|height| height.0);
        let mut state = BTreeMap::new();
        store.visit_state(&mut |key, value| {
            assert_eq!(state.insert(key.to_vec(), value.to_vec()), None, "a key is visited twice");
            Ok(())
        })?;
        assert!(height.is_none_or(|height| height <= highest), "it is ahead: {height:?} of {highest}");
        let expected = height.map(|height| self.state(height)).unwrap_or_default();
        assert!(state == expected, "the state of height {height:?} is not what was written");
        for number in 1..=highest {
            let is_there = height.is_some_and(|height| number <= height);
            let applied = self.block(number);
            let block = store.block(Height(number))?;
            assert_eq!(block, is_there.then_some(applied.block), "block {number} of {height:?}");
            assert_eq!(store.block_height(applied.hash)?, is_there.then_some(Height(number)));
            for (receipt, index) in applied.receipts.into_iter().zip(0..) {
                let place = TransactionPlace { height: Height(number), index };
                assert_eq!(store.transaction_place(receipt.transaction)?, is_there.then_some(place));
                assert_eq!(store.receipt(place)?, is_there.then_some(receipt));
            }
        }
        Ok(height)
    }
}

fn receipt(transaction: TransactionHash, height: u64, index: u32) -> Receipt {
    Receipt {
        transaction,
        height: Height(height),
        index,
        sender: Address([7; 20]),
        to: None,
        contract: None,
        status: Status::Success,
        gas_used: Gas(21_000),
        cumulative_gas: Gas(21_000 * (u64::from(index) + 1)),
        gas_price: 1,
        events: Vec::new(),
        output: transaction.0.to_vec(),
    }
}

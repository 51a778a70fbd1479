//! The latest blocks, in memory, for queries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use shroud_ledger::apply::AppliedBlock;
use shroud_ledger::receipt::Receipt;
use shroud_ledger::{BlockHash, Height, TransactionHash};

/// A transaction's place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The hash of its block.
    pub block: BlockHash,
    /// What became of it.
    pub receipt: Receipt,
}

/// A transaction's place, by its index in the block.
pub(crate) fn inclusion(block: &AppliedBlock, index: usize) -> Option<Inclusion> {
    Some(Inclusion { block: block.hash, receipt: block.receipts.get(index)?.clone() })
}

/// The bytes of memory that a block takes, about.
fn weight(block: &AppliedBlock) -> usize {
    // What a receipt, its hashes and its index entries take without their variable parts.
    const PER_TRANSACTION: usize = 512;
    let transactions = block.block.transactions.iter().map(|bytes| PER_TRANSACTION + bytes.len());
    let receipts = block.receipts.iter().map(|receipt| {
        receipt.output.len() + receipt.events.iter().map(|event| event.data.len() + 64).sum::<usize>()
    });
    let values = block.changes.iter().map(|change| 96 + change.value.as_ref().map_or(0, Vec::len));
    transactions.chain(receipts).chain(values).sum()
}

/// A window over the last durable blocks, indexed by height and by the hashes of blocks and transactions.
#[derive(Debug)]
pub(crate) struct Recent {
    blocks: VecDeque<(Arc<AppliedBlock>, usize)>,
    by_hash: BTreeMap<BlockHash, Height>,
    by_transaction: BTreeMap<TransactionHash, (Height, u32)>,
    bytes: usize,
    max_blocks: usize,
    max_bytes: usize,
}

impl Recent {
    pub(crate) fn new(max_blocks: usize, max_bytes: usize) -> Self {
        Self {
            blocks: VecDeque::new(),
            by_hash: BTreeMap::new(),
            by_transaction: BTreeMap::new(),
            bytes: 0,
            max_blocks,
            max_bytes,
        }
    }

    /// Adds the next block; its transactions are found once they have been indexed.
    pub(crate) fn push(&mut self, block: Arc<AppliedBlock>) {
        self.by_hash.insert(block.hash, block.block.header.height);
        let weight = weight(&block);
        self.bytes = self.bytes.saturating_add(weight);
        self.blocks.push_back((block, weight));
    }

    /// Lets these transactions of the block at `height` be found; the first of them has the index `from`.
    pub(crate) fn index(&mut self, height: Height, from: u32, hashes: &[TransactionHash]) {
        let entries = (from..).zip(hashes).map(|(index, hash)| (*hash, (height, index)));
        self.by_transaction.extend(entries);
    }

    /// Takes the oldest block out if the limits are exceeded and the store has it (`stored`). Its transactions are no longer
    /// found, and are to be forgotten by [`Recent::forget`].
    pub(crate) fn pop(&mut self, stored: Height) -> Option<Arc<AppliedBlock>> {
        if self.blocks.len() <= self.max_blocks && self.bytes <= self.max_bytes {
            return None;
        }
        // The last block stays whatever it weighs: it is what most questions are about.
        let (oldest, _) = self.blocks.front()?;
        if oldest.block.header.height > stored || self.blocks.len() == 1 {
            return None;
        }
        let (block, weight) = self.blocks.pop_front()?;
        self.bytes = self.bytes.saturating_sub(weight);
        self.by_hash.remove(&block.hash);
        Some(block)
    }

    /// Removes transactions of a block that was taken out.
    pub(crate) fn forget(&mut self, hashes: &[TransactionHash]) {
        for hash in hashes {
            self.by_transaction.remove(hash);
        }
    }

    pub(crate) fn at(&self, height: Height) -> Option<Arc<AppliedBlock>> {
        let (first, _) = self.blocks.front()?;
        let index = height.0.checked_sub(first.block.header.height.0)?;
        self.blocks.get(usize::try_from(index).ok()?).map(|(block, _)| Arc::clone(block))
    }

    pub(crate) fn block(&self, hash: &BlockHash) -> Option<Arc<AppliedBlock>> {
        self.at(*self.by_hash.get(hash)?)
    }

    pub(crate) fn transaction(&self, hash: &TransactionHash) -> Option<(Arc<AppliedBlock>, u32)> {
        let (height, index) = *self.by_transaction.get(hash)?;
        Some((self.at(height)?, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shroud_crypto::Hash;
    use shroud_ledger::block::{Block, BlockHeader};
    use shroud_ledger::{Gas, StateTree, Timestamp};

    fn block(height: u64) -> Arc<AppliedBlock> {
        let header = BlockHeader {
            height: Height(height),
            parent: Hash::ZERO,
            timestamp: Timestamp(0),
            transactions_root: Hash::ZERO,
            receipts_root: Hash::ZERO,
            state_root: Hash::ZERO,
            gas_used: Gas(0),
            count: 1,
        };
        let hash = Hash([height as u8; 32]);
        Arc::new(AppliedBlock {
            hash,
            block: Block { header, transactions: vec![vec![0; 10].into()] },
            hashes: vec![hash],
            receipts: vec![],
            postings: vec![],
            changes: vec![],
            tree: StateTree::new(),
        })
    }

    fn push(recent: &mut Recent, block: Arc<AppliedBlock>, stored: Height) {
        recent.push(Arc::clone(&block));
        recent.index(block.block.header.height, 0, &block.hashes);
        while let Some(old) = recent.pop(stored) {
            recent.forget(&old.hashes);
        }
    }

    #[test]
    fn the_window_keeps_the_latest_and_what_the_store_lacks() {
        let mut recent = Recent::new(3, usize::MAX);
        (5..=7).for_each(|height| push(&mut recent, block(height), Height(100)));
        assert_eq!(recent.at(Height(5)).unwrap().block.header.height, Height(5));
        assert!(recent.at(Height(4)).is_none() && recent.at(Height(8)).is_none());
        push(&mut recent, block(8), Height(4));
        assert!(recent.at(Height(5)).is_some(), "the store does not have it yet");
        push(&mut recent, block(9), Height(6));
        assert!(recent.at(Height(6)).is_none() && recent.at(Height(7)).is_some());
        assert!(recent.block(&Hash([6; 32])).is_none() && recent.transaction(&Hash([6; 32])).is_none());
        assert_eq!(recent.transaction(&Hash([9; 32])).unwrap().1, 0);
        assert_eq!((recent.by_hash.len(), recent.by_transaction.len()), (3, 3));
    }

    #[test]
    fn weight_counts_too_but_the_last_block_stays() {
        let mut recent = Recent::new(100, 1);
        (1..=3).for_each(|height| push(&mut recent, block(height), Height(100)));
        assert!(recent.at(Height(2)).is_none());
        assert_eq!(recent.block(&Hash([3; 32])).unwrap().block.header.height, Height(3));
    }
}

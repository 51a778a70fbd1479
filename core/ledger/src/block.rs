//! Blocks and their headers.

use std::sync::Arc;

use shroud_crypto::{Hash, keccak256};

use crate::codec::{Reader, Writer as _};
use crate::{BlockHash, CodecError, Gas, Height, Timestamp, TransactionHash};

/// The most transactions of a block: what a batch gathers during one slow sync at a hundred thousand per second.
pub const MAX_BLOCK_TRANSACTIONS: usize = 4096;
/// The most bytes of a block's encoding: a quarter of a journal segment.
pub const MAX_BLOCK_BYTES: usize = 8 * 1024 * 1024;
/// The root of a list without entries.
pub const EMPTY_LIST_ROOT: Hash = Hash::ZERO;

/// Bytes of a header's encoding.
const HEADER_BYTES: usize = 8 + 32 + 8 + 32 + 32 + 32 + 8 + 4;

/// What a block commits to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Its place in the chain.
    pub height: Height,
    /// The hash of the header before it.
    pub parent: BlockHash,
    /// When it was begun; never before its parent.
    pub timestamp: Timestamp,
    /// [`list_root`] of its transactions' hashes.
    pub transactions_root: Hash,
    /// [`list_root`] of keccak256 of its receipts' encodings.
    pub receipts_root: Hash,
    /// The root of the state tree after it.
    pub state_root: Hash,
    /// The gas that its transactions used.
    pub gas_used: Gas,
    /// How many transactions it has.
    pub count: u32,
}

impl BlockHeader {
    /// The block's hash.
    pub fn hash(&self) -> BlockHash {
        keccak256(&self.encode())
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.put_u64(self.height.0);
        out.put(&self.parent.0);
        out.put_u64(self.timestamp.0);
        out.put(&self.transactions_root.0);
        out.put(&self.receipts_root.0);
        out.put(&self.state_root.0);
        out.put_u64(self.gas_used.0);
        out.put_u32(self.count);
        out
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            height: Height(reader.u64("a block's height")?),
            parent: reader.hash("a block's parent")?,
            timestamp: Timestamp(reader.u64("a block's timestamp")?),
            transactions_root: reader.hash("a block's transactions root")?,
            receipts_root: reader.hash("a block's receipts root")?,
            state_root: reader.hash("a block's state root")?,
            gas_used: Gas(reader.u64("a block's gas")?),
            count: reader.u32("a block's count")?,
        })
    }
}

/// A header and the transactions, as they arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: BlockHeader,
    /// The transactions' encodings, in order.
    pub transactions: Vec<Arc<[u8]>>,
}

impl Block {
    /// The canonical encoding: the payload of a journal record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.header.encode();
        out.reserve(self.transactions.iter().map(|bytes| encoded_transaction_bytes(bytes.len())).sum());
        for transaction in &self.transactions {
            out.put_bytes(transaction);
        }
        out
    }

    /// Reads the canonical encoding. The transactions are not decoded.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            let (length, limit) = (bytes.len(), MAX_BLOCK_BYTES);
            return Err(CodecError::TooLong { what: "a block", length, limit });
        }
        let mut reader = Reader::new(bytes);
        let header = BlockHeader::read(&mut reader)?;
        let count = header.count as usize;
        if count > MAX_BLOCK_TRANSACTIONS {
            let (length, limit) = (count, MAX_BLOCK_TRANSACTIONS);
            return Err(CodecError::TooLong { what: "a block's number of transactions", length, limit });
        }
        let mut transactions = Vec::with_capacity(count);
        for _ in 0..count {
            transactions.push(reader.bytes(MAX_BLOCK_BYTES, "a block's transaction")?.into());
        }
        reader.end("a block")?;
        Ok(Self { header, transactions })
    }
}

/// The bytes of an empty block.
pub(crate) const fn empty_block_bytes() -> usize {
    HEADER_BYTES
}

/// The bytes that a transaction adds to a block.
pub(crate) const fn encoded_transaction_bytes(length: usize) -> usize {
    4 + length
}

/// The commitment to an ordered list of hashes: keccak256 of their number and of all of them in order.
pub fn list_root(hashes: &[TransactionHash]) -> Hash {
    if hashes.is_empty() {
        return EMPTY_LIST_ROOT;
    }
    let mut keccak = shroud_crypto::Keccak::default();
    keccak.update(&(hashes.len() as u64).to_le_bytes());
    hashes.iter().for_each(|hash| keccak.update(&hash.0));
    keccak.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trip(height: u64, root: [u8; 32], bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..10)) {
            let header = BlockHeader {
                height: Height(height), parent: Hash(root), timestamp: Timestamp(height), transactions_root: Hash(root),
                receipts_root: Hash(root), state_root: Hash(root), gas_used: Gas(1), count: bodies.len() as u32,
            };
            let block = Block { header, transactions: bodies.into_iter().map(Arc::from).collect() };
            let bytes = block.encode();
            prop_assert_eq!(Block::decode(&bytes), Ok(block));
            prop_assert!(Block::decode(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(block) = Block::decode(&bytes) {
                prop_assert_eq!(block.encode(), bytes);
            }
        }
    }

    #[test]
    fn list_roots_differ() {
        let (one, two) = (Hash([1; 32]), Hash([2; 32]));
        assert_ne!(list_root(&[one, two]), list_root(&[two, one]));
        assert_ne!(list_root(&[one]), list_root(&[one, one]));
        assert_eq!(list_root(&[]), EMPTY_LIST_ROOT);
    }
}

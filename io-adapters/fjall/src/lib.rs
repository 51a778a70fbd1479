//! The ledger's store on fjall.
//!
//! fjall blocks and has threads of its own: call [`FjallStore`] where blocking is allowed. After an error, stop and recover.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use shroud_ledger::block::Block;
use shroud_ledger::receipt::Receipt;
use shroud_ledger::store::{Store, StoreError, TransactionPlace, VisitEntry, WriteBatch};
use shroud_ledger::{BlockHash, CodecError, Height, TransactionHash};

/// The key of the height that the state reflects.
const HEIGHT: &[u8] = b"height";
/// Threads for flushes and compactions: their work is bounded by the journal's throughput.
const WORKER_THREADS: usize = 2;

/// A ledger's state, blocks, receipts and indexes in a fjall database.
pub struct FjallStore {
    database: Database,
    meta: Keyspace,
    state: Keyspace,
    /// By height, big endian.
    blocks: Keyspace,
    /// Block hash to height.
    block_hashes: Keyspace,
    /// Transaction hash to place.
    transactions: Keyspace,
    /// By place.
    receipts: Keyspace,
}

impl FjallStore {
    /// Opens or creates the database in a directory. Only one process may have it open.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::builder(path).worker_threads(WORKER_THREADS).open().map_err(failed)?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).map_err(failed);
        Ok(Self {
            meta: keyspace("meta")?,
            state: keyspace("state")?,
            blocks: keyspace("blocks")?,
            block_hashes: keyspace("block_hashes")?,
            transactions: keyspace("transactions")?,
            receipts: keyspace("receipts")?,
            database,
        })
    }
}

impl Store for FjallStore {
    fn height(&self) -> Result<Option<Height>, StoreError> {
        let value = self.meta.get(HEIGHT).map_err(failed)?;
        value.map(|value| read_height(&value)).transpose()
    }

    fn visit_state(&self, visit: &mut VisitEntry<'_>) -> Result<(), StoreError> {
        for entry in self.state.iter() {
            let (key, value) = entry.into_inner().map_err(failed)?;
            visit(&key, &value)?;
        }
        Ok(())
    }

    fn write(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        let mut out = self.database.batch();
        // All items of a fjall batch have one sequence number, so each key may stand in it only once: the last change counts.
        let changes: BTreeMap<_, _> =
            batch.changes().map(|change| (change.key.as_slice(), change.value.as_deref())).collect();
        for (key, value) in changes {
            match value {
                Some(value) => out.insert(&self.state, key, value),
                None => out.remove(&self.state, key),
            }
        }
        for applied in &batch.blocks {
            let height = applied.block.header.height;
            out.insert(&self.blocks, height.0.to_be_bytes(), applied.block.encode());
            out.insert(&self.block_hashes, applied.hash.0, height.0.to_be_bytes());
            for (receipt, index) in applied.receipts.iter().zip(0..) {
                let place = encode_place(TransactionPlace { height, index });
                out.insert(&self.transactions, receipt.transaction.0, place);
                out.insert(&self.receipts, place, receipt.encode());
            }
        }
        out.insert(&self.meta, HEIGHT, batch.height.0.to_be_bytes());
        out.commit().map_err(failed)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncData).map_err(failed)
    }

    fn block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        let value = self.blocks.get(height.0.to_be_bytes()).map_err(failed)?;
        value.map(|value| Block::decode(&value).map_err(|error| damaged("block", &error))).transpose()
    }

    fn block_height(&self, hash: BlockHash) -> Result<Option<Height>, StoreError> {
        let value = self.block_hashes.get(hash.0).map_err(failed)?;
        value.map(|value| read_height(&value)).transpose()
    }

    fn transaction_place(&self, hash: TransactionHash) -> Result<Option<TransactionPlace>, StoreError> {
        let value = self.transactions.get(hash.0).map_err(failed)?;
        value.map(|value| read_place(&value)).transpose()
    }

    fn receipt(&self, place: TransactionPlace) -> Result<Option<Receipt>, StoreError> {
        let value = self.receipts.get(encode_place(place)).map_err(failed)?;
        value.map(|value| Receipt::decode(&value).map_err(|error| damaged("receipt", &error))).transpose()
    }
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore").finish_non_exhaustive()
    }
}

fn encode_place(place: TransactionPlace) -> [u8; 12] {
    let mut bytes = [0; 12];
    let parts = place.height.0.to_be_bytes().into_iter().chain(place.index.to_be_bytes());
    bytes.iter_mut().zip(parts).for_each(|(out, byte)| *out = byte);
    bytes
}

fn read_place(bytes: &[u8]) -> Result<TransactionPlace, StoreError> {
    let place = || {
        let (height, index) = bytes.split_first_chunk::<8>()?;
        let index = u32::from_be_bytes(index.try_into().ok()?);
        Some(TransactionPlace { height: Height(u64::from_be_bytes(*height)), index })
    };
    place().ok_or_else(|| StoreError::Damaged("a transaction's place is not 12 bytes".to_owned()))
}

fn read_height(bytes: &[u8]) -> Result<Height, StoreError> {
    let number = bytes.try_into().map(u64::from_be_bytes);
    number.map(Height).map_err(|_| StoreError::Damaged("a height is not 8 bytes".to_owned()))
}

fn failed(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Locked => StoreError::Database("the directory is in use by another process".into()),
        error => StoreError::Database(Box::new(error)),
    }
}

fn damaged(what: &str, error: &CodecError) -> StoreError {
    StoreError::Damaged(format!("a stored {what} does not decode: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shroud_crypto::{Address, ed25519::SigningKey};
    use shroud_ledger::apply::{AppliedBlock, Applier, Progress};
    use shroud_ledger::store::load;
    use shroud_ledger::transaction::{Action, Transaction, native::NativeBody, verify};
    use shroud_ledger::{ChainId, GCC, Gas, Genesis, Nonce, Timestamp};
    use shroud_vm::{CodeCache, Engine};

    use super::*;

    fn genesis(chain_id: u64) -> Genesis {
        let sender = Address::from_ed25519(SigningKey::from_seed(&[1; 32]).verifying_key());
        let text = format!(
            r#"{{"chain_id": {chain_id}, "timestamp": 1, "gas_price": "1", "block_gas_limit": 1000000, "fee_account": "{}",
            "assets": [{{"id": 0, "symbol": "GCC", "decimals": 18, "name": "Ghost Compute Credit"}}],
            "accounts": [{{"address": "{sender}", "balances": {{"GCC": "1000000000"}}}}]}}"#,
            Address([9; 20])
        );
        Genesis::from_json(text.as_bytes()).unwrap()
    }

    fn apply(applier: &mut Applier, nonce: u64) -> Arc<AppliedBlock> {
        let action = Action::Transfer { to: Address([nonce as u8; 20]), asset: GCC, amount: 5 };
        let (chain_id, nonce, gas_limit) = (ChainId(7), Nonce(nonce), Gas(21_000));
        let body = NativeBody { chain_id, nonce, gas_limit, gas_price: 1, action };
        let bytes = body.sign(&SigningKey::from_seed(&[1; 32])).encode();
        let verified = verify(Transaction::decode(&bytes).unwrap(), chain_id).unwrap();
        applier.begin(Timestamp(2000)).unwrap();
        assert_eq!(applier.submit(&verified).unwrap(), Progress::Done { index: 0 });
        Arc::new(applier.finish().unwrap())
    }

    #[test]
    fn what_was_written_is_there_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let genesis = genesis(7);
        let mut applier = Applier::new(
            *genesis.parameters(),
            Engine::new(),
            CodeCache::new(8, 1 << 20),
            genesis.tree().clone(),
            *genesis.header(),
        );
        let blocks: Vec<_> = (0..3).map(|nonce| apply(&mut applier, nonce)).collect();
        {
            let store = FjallStore::open(directory.path()).unwrap();
            assert_eq!(store.height().unwrap(), None);
            assert!(load(&store, &genesis).unwrap().is_none());
            store.write(&WriteBatch::genesis(&genesis)).unwrap();
            store.write(&WriteBatch::blocks(blocks.clone())).unwrap();
            store.sync().unwrap();
        }
        let store = FjallStore::open(directory.path()).unwrap();
        let (height, tree) = load(&store, &genesis).unwrap().unwrap();
        assert_eq!((height, tree.root()), (Height(3), applier.tree().root()));
        for applied in &blocks {
            let header = &applied.block.header;
            assert_eq!(store.block(header.height).unwrap().as_ref(), Some(&applied.block));
            assert_eq!(store.block_height(applied.hash).unwrap(), Some(header.height));
            let place = store.transaction_place(applied.hashes[0]).unwrap().unwrap();
            assert_eq!(place, TransactionPlace { height: header.height, index: 0 });
            assert_eq!(store.receipt(place).unwrap().as_ref(), Some(&applied.receipts[0]));
        }
        assert_eq!(store.block(Height(4)).unwrap(), None);
        assert!(matches!(load(&store, &self::genesis(8)), Err(StoreError::OtherChain)));
    }
}

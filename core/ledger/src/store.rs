//! What a database must offer to hold the state behind the journal.
//!
//! The journal is the truth; the store is written behind it and says which height it reflects. After a crash it is a whole
//! earlier state, and the journal's tail is applied on top of it.

use std::error::Error;
use std::sync::Arc;

use crate::apply::AppliedBlock;
use crate::block::Block;
use crate::genesis::Genesis;
use crate::receipt::Receipt;
use crate::state::{Change, StateError, check_entry};
use crate::{BlockHash, Height, StateTree, TransactionHash};

/// A database for the ledger. Its methods block: call them where blocking is allowed.
pub trait Store: Send + Sync + 'static {
    /// The height that the state reflects; `None`: the store is new.
    fn height(&self) -> Result<Option<Height>, StoreError>;

    /// Gives every state entry to `visit`, in any order, until it returns an error.
    fn visit_state(&self, visit: &mut VisitEntry<'_>) -> Result<(), StoreError>;

    /// Writes a batch: all of it or nothing, in the order of the calls. Need not be durable when it returns.
    fn write(&self, batch: &WriteBatch) -> Result<(), StoreError>;

    /// Makes all batches written so far durable.
    fn sync(&self) -> Result<(), StoreError>;

    /// A block by its height. Height 0 has none.
    fn block(&self, height: Height) -> Result<Option<Block>, StoreError>;

    /// The height of a block by its hash.
    fn block_height(&self, hash: BlockHash) -> Result<Option<Height>, StoreError>;

    /// Where a transaction is.
    fn transaction_place(&self, hash: TransactionHash) -> Result<Option<TransactionPlace>, StoreError>;

    /// The receipt of the transaction at a place.
    fn receipt(&self, place: TransactionPlace) -> Result<Option<Receipt>, StoreError>;
}

/// Takes a state entry's key and value.
pub type VisitEntry<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// A block and a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionPlace {
    /// The block's height.
    pub height: Height,
    /// From 0.
    pub index: u32,
}

/// What is written at once.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    /// The height that the state reflects afterwards.
    pub height: Height,
    /// Changes of state entries, apart from those of the blocks: the genesis state.
    pub state: Vec<Change>,
    /// Blocks with their changes, ascending; the last one's height is [`height`](Self::height).
    pub blocks: Vec<Arc<AppliedBlock>>,
}

/// Why a store cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database failed: stop, and recover from the journal.
    #[error("the store failed: {0}")]
    Database(Box<dyn Error + Send + Sync>),
    /// The database holds something that was never written: recover from the journal into a new store.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store belongs to another chain.
    #[error("the store belongs to another chain: it has another genesis")]
    OtherChain,
}

impl From<StateError> for StoreError {
    fn from(error: StateError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl WriteBatch {
    /// The state before the first block.
    pub fn genesis(genesis: &Genesis) -> Self {
        let change = |(key, value): (&[u8], &[u8])| Change { key: key.to_vec(), value: Some(value.to_vec()) };
        Self { height: Height(0), state: genesis.tree().iter().map(change).collect(), blocks: Vec::new() }
    }

    /// What these blocks changed. They are ascending without gaps, and at least one.
    pub fn blocks(blocks: Vec<Arc<AppliedBlock>>) -> Self {
        let height = blocks.last().map_or(Height(0), |block| block.block.header.height);
        Self { height, state: Vec::new(), blocks }
    }

    /// All changes of state entries, in order: a later one replaces an earlier one.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.state.iter().chain(self.blocks.iter().flat_map(|block| &block.changes))
    }
}

/// Loads the state of a store and the height that it reflects; `None`: the store is new. Every entry is checked, and that
/// the store belongs to the chain of `genesis`.
pub fn load(store: &dyn Store, genesis: &Genesis) -> Result<Option<(Height, StateTree)>, StoreError> {
    let Some(height) = store.height()? else {
        return Ok(None);
    };
    let mut tree = StateTree::new();
    store.visit_state(&mut |key, value| {
        check_entry(key, value)?;
        tree.insert(key, value);
        Ok(())
    })?;
    if crate::state::parameters(&tree)? != *genesis.parameters() {
        return Err(StoreError::OtherChain);
    }
    Ok(Some((height, tree)))
}

//! Questions about durable state and the past.

use std::sync::Arc;

use shroud_crypto::{Address, keccak256};
use shroud_ledger::apply::AppliedBlock;
use shroud_ledger::block::Block;
use shroud_ledger::receipt::Receipt;
use shroud_ledger::state::{Account, StateKey};
use shroud_ledger::store::{Store, StoreError, TransactionPlace};
use shroud_ledger::{AssetId, BlockHash, Height, Nonce, TransactionHash, state};
use shroud_runtime::Runtime;

use crate::recent::inclusion;
use crate::{Inclusion, Ledger, QueryError};

/// A durable block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Its hash.
    pub hash: BlockHash,
    /// Its header and the encodings of its transactions.
    pub block: Block,
    /// The hashes of its transactions, in order.
    pub hashes: Vec<TransactionHash>,
}

/// A durable transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionInfo {
    /// Its encoding.
    pub bytes: Arc<[u8]>,
    /// Where it is, and what became of it.
    pub inclusion: Inclusion,
}

impl BlockInfo {
    fn of(block: &AppliedBlock) -> Self {
        Self { hash: block.hash, block: block.block.clone(), hashes: block.hashes.clone() }
    }

    fn computed(block: Block) -> Self {
        let hashes = block.transactions.iter().map(|bytes| keccak256(bytes)).collect();
        Self { hash: block.header.hash(), block, hashes }
    }
}

/// Recent blocks and transactions are found in memory, older ones in the store, on a blocking thread. All are cancel safe.
impl<R: Runtime> Ledger<R> {
    /// An account as of the last durable block; the default one if it is not there.
    ///
    /// # Errors
    /// [`QueryError::State`] when the state is damaged.
    pub fn account(&self, address: Address) -> Result<Account, QueryError> {
        Ok(state::account(&self.snapshot().tree, address)?)
    }

    /// What an account holds of an asset.
    ///
    /// # Errors
    /// As [`Ledger::account`].
    pub fn balance(&self, address: Address, asset: AssetId) -> Result<u128, QueryError> {
        Ok(self.account(address)?.balance(asset))
    }

    /// The next nonce of an account, counting blocks that are applied and not durable yet.
    ///
    /// # Errors
    /// As [`Ledger::account`].
    pub fn pending_nonce(&self, address: Address) -> Result<Nonce, QueryError> {
        Ok(state::account(&self.shared.tip(), address)?.nonce)
    }

    /// The code of a contract; `None` when the account is none.
    ///
    /// # Errors
    /// As [`Ledger::account`].
    pub fn code(&self, address: Address) -> Result<Option<Vec<u8>>, QueryError> {
        let snapshot = self.snapshot();
        let account = state::account(&snapshot.tree, address)?;
        Ok(account.code.and_then(|hash| state::code(&snapshot.tree, hash)).map(<[u8]>::to_vec))
    }

    /// An entry of a contract's storage.
    #[must_use]
    pub fn storage(&self, contract: Address, key: &[u8]) -> Option<Vec<u8>> {
        let key = StateKey::Storage(contract, key.to_vec()).encode();
        self.snapshot().tree.get(&key).map(<[u8]>::to_vec)
    }

    /// A durable block by its height; height 0 has no transactions.
    ///
    /// # Errors
    /// [`QueryError`] when the store fails or is damaged.
    pub fn block_at(
        &self,
        height: Height,
    ) -> impl Future<Output = Result<Option<BlockInfo>, QueryError>> + Send {
        async move {
            if height == Height(0) {
                let block = Block { header: *self.genesis().header(), transactions: Vec::new() };
                return Ok(Some(BlockInfo::computed(block)));
            }
            if height > self.snapshot().header.height {
                return Ok(None);
            }
            if let Some(block) = self.shared.recent(|recent| recent.at(height)) {
                return Ok(Some(BlockInfo::of(&block)));
            }
            self.ask(move |store| Ok(store.block(height)?.map(BlockInfo::computed))).await
        }
    }

    /// A durable block by its hash.
    ///
    /// # Errors
    /// As [`Ledger::block_at`].
    pub fn block_by_hash(
        &self,
        hash: BlockHash,
    ) -> impl Future<Output = Result<Option<BlockInfo>, QueryError>> + Send {
        async move {
            if hash == self.genesis().header().hash() {
                return self.block_at(Height(0)).await;
            }
            if let Some(block) = self.shared.recent(|recent| recent.block(&hash)) {
                return Ok(Some(BlockInfo::of(&block)));
            }
            let find = move |store: &dyn Store| match store.block_height(hash)? {
                Some(height) => Ok(store.block(height)?.map(BlockInfo::computed)),
                None => Ok(None),
            };
            self.ask(find).await
        }
    }

    /// The receipt of a durable transaction, and its block's hash.
    ///
    /// # Errors
    /// As [`Ledger::block_at`].
    pub fn inclusion(
        &self,
        hash: TransactionHash,
    ) -> impl Future<Output = Result<Option<Inclusion>, QueryError>> + Send {
        async move {
            let recent = self.shared.recent(|recent| recent.transaction(&hash));
            if let Some((block, index)) = recent {
                return Ok(inclusion(&block, index as usize));
            }
            self.ask(move |store| Ok(find(store, hash)?.map(|found| found.inclusion))).await
        }
    }

    /// The receipts of a durable block, in order; none when there is no such block.
    ///
    /// # Errors
    /// As [`Ledger::block_at`].
    pub fn receipts_at(
        &self,
        height: Height,
    ) -> impl Future<Output = Result<Vec<Receipt>, QueryError>> + Send {
        async move {
            if let Some(block) = self.shared.recent(|recent| recent.at(height)) {
                return Ok(block.receipts.clone());
            }
            self.ask(move |store| {
                let count = store.block(height)?.map_or(0, |block| block.header.count);
                let missing =
                    |index| StoreError::Damaged(format!("receipt {index} of block {height} is missing"));
                (0..count)
                    .map(|index| {
                        store.receipt(TransactionPlace { height, index })?.ok_or_else(|| missing(index))
                    })
                    .collect()
            })
            .await
        }
    }

    /// A durable transaction.
    ///
    /// # Errors
    /// As [`Ledger::block_at`].
    pub fn transaction(
        &self,
        hash: TransactionHash,
    ) -> impl Future<Output = Result<Option<TransactionInfo>, QueryError>> + Send {
        async move {
            let recent = self.shared.recent(|recent| recent.transaction(&hash));
            if let Some((block, index)) = recent {
                let bytes = block.block.transactions.get(index as usize).cloned();
                let inclusion = inclusion(&block, index as usize);
                return Ok(bytes
                    .zip(inclusion)
                    .map(|(bytes, inclusion)| TransactionInfo { bytes, inclusion }));
            }
            self.ask(move |store| find(store, hash)).await
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let store = Arc::clone(&self.shared.store);
        let answer = self.runtime.offload(move || question(&*store)).await;
        let failed = |error: &dyn std::fmt::Display| QueryError::Store(error.to_string().into());
        answer.map_err(|lost| failed(&lost))?.map_err(|error| failed(&error))
    }
}

fn find(store: &dyn Store, hash: TransactionHash) -> Result<Option<TransactionInfo>, StoreError> {
    let Some(place) = store.transaction_place(hash)? else { return Ok(None) };
    let missing = |what| StoreError::Damaged(format!("the {what} of transaction {hash} is missing"));
    let block = store.block(place.height)?.ok_or_else(|| missing("block"))?;
    let receipt = store.receipt(place)?.ok_or_else(|| missing("receipt"))?;
    let bytes = block.transactions.get(place.index as usize).cloned().ok_or_else(|| missing("encoding"))?;
    Ok(Some(TransactionInfo { bytes, inclusion: Inclusion { block: block.header.hash(), receipt } }))
}

//! Applying verified transactions to the state, one after the other, and making blocks of them.
//!
//! ```text
//! applier.begin(timestamp)?;
//! for transaction in batch {
//!     let mut progress = applier.submit(&transaction)?;
//!     while let Progress::Running = progress {
//!         progress = applier.resume(slice)?;   // let others run between slices
//!     }
//!     // Done, Rejected (no effect at all), or BlockFull (again in the next block)
//! }
//! let block = applier.finish()?;               // make it durable, then reply
//! ```

mod admission;
mod call;
mod error;

use std::sync::Arc;

use shroud_crypto::Address;
use shroud_vm::{CodeCache, Engine};

use crate::block::{self, Block, BlockHeader};
use crate::posting::{self, Posting};
use crate::receipt::{Receipt, Status};
use crate::state::{Account, ChainParameters, Change, Overlay, StateError};
use crate::transaction::{Action, VerifiedTransaction};
use crate::{BlockHash, GCC, Gas, Height, Nonce, StateTree, Timestamp, TransactionHash};

pub use error::{ApplyError, Rejection};

use admission::Admitted;
use call::{Ended, Running};

/// The machine that applies transactions. One per ledger: the writer's.
#[derive(Debug)]
pub struct Applier {
    parameters: ChainParameters,
    engine: Engine,
    cache: CodeCache,
    /// The state after `tip`.
    tree: StateTree,
    tip: BlockHeader,
    open: Option<OpenBlock>,
}

/// A block in the making.
#[derive(Debug)]
struct OpenBlock {
    height: Height,
    timestamp: Timestamp,
    overlay: Overlay,
    transactions: Vec<Arc<[u8]>>,
    hashes: Vec<TransactionHash>,
    receipts: Vec<Receipt>,
    postings: Vec<Vec<Posting>>,
    bytes: usize,
    gas_used: Gas,
    running: Option<(Pending, Running)>,
}

/// What is needed to end a transaction.
#[derive(Debug)]
struct Pending {
    bytes: Arc<[u8]>,
    hash: TransactionHash,
    sender: Address,
    to: Option<Address>,
    contract: Option<Address>,
    gas_limit: Gas,
    intrinsic: Gas,
    gas_price: u128,
    /// Taken from the sender for the gas limit.
    reserve: u128,
}

/// How far a transaction has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is in the block; its receipt has this index.
    Done {
        /// From 0.
        index: u32,
    },
    /// It calls a contract: [`Applier::resume`] goes on with it. Nothing else may be submitted meanwhile.
    Running,
    /// It is not in the block and has no effect at all.
    Rejected(Rejection),
    /// It does not fit this block: submit it again in the next one.
    BlockFull,
}

/// A block that was made, and what it changed.
#[derive(Clone, Debug)]
pub struct AppliedBlock {
    /// Its hash.
    pub hash: BlockHash,
    /// Header and transactions.
    pub block: Block,
    /// The transactions' hashes, in order.
    pub hashes: Vec<TransactionHash>,
    /// One for each transaction.
    pub receipts: Vec<Receipt>,
    /// For each transaction: what it moved, the fee last.
    pub postings: Vec<Vec<Posting>>,
    /// The write set, by key.
    pub changes: Vec<Change>,
    /// The state after the block.
    pub tree: StateTree,
}

impl Applier {
    /// Goes on after `tip`, whose state is `tree`. `cache` may be shared with view calls.
    pub const fn new(
        parameters: ChainParameters,
        engine: Engine,
        cache: CodeCache,
        tree: StateTree,
        tip: BlockHeader,
    ) -> Self {
        Self { parameters, engine, cache, tree, tip, open: None }
    }

    /// The chain's parameters.
    pub const fn parameters(&self) -> &ChainParameters {
        &self.parameters
    }

    /// The last finished block's header.
    pub const fn tip(&self) -> &BlockHeader {
        &self.tip
    }

    /// The state after the last finished block.
    pub const fn tree(&self) -> &StateTree {
        &self.tree
    }

    /// An account as it stands, with the effects of the block in the making.
    pub fn account(&self, address: Address) -> Result<Account, StateError> {
        match &self.open {
            Some(open) => open.overlay.account(address),
            None => crate::state::account(&self.tree, address),
        }
    }

    /// How many transactions the block in the making has.
    pub fn pending(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.receipts.len())
    }

    /// Begins the next block. A time before the last block's is replaced by the last block's.
    pub fn begin(&mut self, timestamp: Timestamp) -> Result<Height, ApplyError> {
        if self.open.is_some() {
            return Err(ApplyError::BlockOpen);
        }
        let height = self.tip.height.next();
        self.open = Some(OpenBlock {
            height,
            timestamp: timestamp.max(self.tip.timestamp),
            overlay: Overlay::new(self.tree.clone()),
            transactions: Vec::new(),
            hashes: Vec::new(),
            receipts: Vec::new(),
            postings: Vec::new(),
            bytes: block::empty_block_bytes(),
            gas_used: Gas(0),
            running: None,
        });
        Ok(height)
    }

    /// Takes a transaction. Transfers end at once; contract calls are [`Progress::Running`].
    ///
    /// # Errors
    ///
    /// Misuse, or a damaged state: then the block must be dropped, and the ledger recovered.
    pub fn submit(&mut self, transaction: &VerifiedTransaction) -> Result<Progress, ApplyError> {
        let open = self.open.as_mut().ok_or(ApplyError::NoBlock)?;
        if open.running.is_some() {
            return Err(ApplyError::Busy);
        }
        let bytes = open.bytes.saturating_add(block::encoded_transaction_bytes(transaction.bytes().len()));
        if open.transactions.len() >= block::MAX_BLOCK_TRANSACTIONS || bytes > block::MAX_BLOCK_BYTES {
            return Ok(Progress::BlockFull);
        }
        let admitted = match admission::admit(&self.parameters, &open.overlay, transaction)? {
            Ok(admitted) => admitted,
            Err(rejection) => return Ok(Progress::Rejected(rejection)),
        };
        let gas = open.gas_used.0.saturating_add(transaction.gas_limit().0);
        if gas > self.parameters.block_gas_limit.0 {
            return Ok(Progress::BlockFull);
        }
        let pending = open.reserve(transaction, &admitted)?;
        match (transaction.action(), admitted.code) {
            (Action::Transfer { to, asset, amount }, _) => {
                let postings = open.move_amounts(pending.sender, [(*to, *asset, *amount)])?;
                self.end(pending, Ended::moved(postings))
            }
            (Action::MultiTransfer { legs }, _) => {
                let legs = legs.iter().map(|leg| (leg.to, leg.asset, leg.amount));
                let postings = open.move_amounts(pending.sender, legs)?;
                self.end(pending, Ended::moved(postings))
            }
            (Action::Call { contract, asset, value, .. }, None) => {
                let postings = open.move_amounts(pending.sender, [(*contract, *asset, *value)])?;
                self.end(pending, Ended::moved(postings))
            }
            (Action::Call { contract, asset, value, input }, Some(code)) => {
                let call = call::Call { contract: *contract, asset: *asset, value: *value, input };
                let started =
                    open.start_call(&self.parameters, &self.engine, &self.cache, &pending, call, code)?;
                self.go_on(pending, started)
            }
            (Action::Deploy { code, input }, _) => {
                let started =
                    open.start_deploy(&self.parameters, &self.engine, &self.cache, &pending, code, input)?;
                self.go_on(pending, started)
            }
        }
    }

    /// Goes on with the contract call for about `fuel` units, requests to the ledger included.
    pub fn resume(&mut self, fuel: u64) -> Result<Progress, ApplyError> {
        let open = self.open.as_mut().ok_or(ApplyError::NoBlock)?;
        let (_, running) = open.running.as_mut().ok_or(ApplyError::Idle)?;
        let Some(ended) = running.resume(fuel, &mut open.overlay)? else {
            return Ok(Progress::Running);
        };
        let (pending, _) = open.running.take().ok_or(ApplyError::Idle)?;
        self.end(pending, ended)
    }

    /// Ends the block: its state becomes the tip's.
    pub fn finish(&mut self) -> Result<AppliedBlock, ApplyError> {
        match &self.open {
            None => return Err(ApplyError::NoBlock),
            Some(OpenBlock { running: Some(_), .. }) => return Err(ApplyError::Busy),
            Some(_) => {}
        }
        let open = self.open.take().ok_or(ApplyError::NoBlock)?;
        let changes = open.overlay.changes();
        // The overlay's clone must be gone, or the tree would copy nodes that nobody else needs.
        drop(open.overlay);
        self.tree.write(&changes);
        let receipt_hashes: Vec<_> = open.receipts.iter().map(Receipt::hash).collect();
        let header = BlockHeader {
            height: open.height,
            parent: self.tip.hash(),
            timestamp: open.timestamp,
            transactions_root: block::list_root(&open.hashes),
            receipts_root: block::list_root(&receipt_hashes),
            state_root: self.tree.root(),
            gas_used: open.gas_used,
            count: u32::try_from(open.transactions.len()).map_err(|_| ApplyError::Busy)?,
        };
        self.tip = header;
        Ok(AppliedBlock {
            hash: header.hash(),
            block: Block { header, transactions: open.transactions },
            hashes: open.hashes,
            receipts: open.receipts,
            postings: open.postings,
            changes,
            tree: self.tree.clone(),
        })
    }

    /// Drops the block in the making, with all its effects.
    pub fn abandon(&mut self) {
        self.open = None;
    }

    fn go_on(&mut self, pending: Pending, started: Result<Running, Ended>) -> Result<Progress, ApplyError> {
        match (started, self.open.as_mut()) {
            (Err(ended), _) => self.end(pending, ended),
            (Ok(_), None) => Err(ApplyError::NoBlock),
            (Ok(running), Some(open)) => {
                open.running = Some((pending, running));
                Ok(Progress::Running)
            }
        }
    }

    /// Charges the fee and puts the transaction into the block.
    fn end(&mut self, pending: Pending, ended: Ended) -> Result<Progress, ApplyError> {
        let fee_account = self.parameters.fee_account;
        let open = self.open.as_mut().ok_or(ApplyError::NoBlock)?;
        let Ended { status, call_gas, events, output, mut postings } = ended;
        let gas_used = Gas(pending.intrinsic.0.saturating_add(call_gas.0).min(pending.gas_limit.0));
        let fee = u128::from(gas_used.0).checked_mul(pending.gas_price).ok_or(ApplyError::Books)?;
        let refund = pending.reserve.checked_sub(fee).ok_or(ApplyError::Books)?;
        open.overlay.credit(pending.sender, GCC, refund)?;
        open.overlay.credit(fee_account, GCC, fee)?;
        if !status.is_success() {
            postings.clear();
        }
        postings.extend(Posting::transfer(pending.sender, fee_account, GCC, fee));
        debug_assert!(posting::is_balanced(&postings));
        open.overlay.settle();

        let index = u32::try_from(open.receipts.len()).map_err(|_| ApplyError::Books)?;
        open.gas_used = Gas(open.gas_used.0.saturating_add(gas_used.0));
        open.bytes = open.bytes.saturating_add(block::encoded_transaction_bytes(pending.bytes.len()));
        open.receipts.push(Receipt {
            transaction: pending.hash,
            height: open.height,
            index,
            sender: pending.sender,
            to: pending.to,
            contract: if status.is_success() { pending.contract } else { None },
            status,
            gas_used,
            cumulative_gas: open.gas_used,
            gas_price: pending.gas_price,
            events,
            output,
        });
        open.transactions.push(pending.bytes);
        open.hashes.push(pending.hash);
        open.postings.push(postings);
        Ok(Progress::Done { index })
    }
}

impl OpenBlock {
    /// Counts the nonce up and takes the gas limit's price from the sender.
    fn reserve(
        &mut self,
        transaction: &VerifiedTransaction,
        admitted: &Admitted,
    ) -> Result<Pending, ApplyError> {
        let sender = transaction.sender();
        let mut account = admitted.sender.clone();
        let next = account.nonce.0.checked_add(1).ok_or(ApplyError::Books)?;
        account.nonce = Nonce(next);
        let left = account.balance(GCC).checked_sub(admitted.reserve).ok_or(ApplyError::Books)?;
        account.set_balance(GCC, left);
        self.overlay.set_account(sender, account);
        let (to, contract) = match transaction.action() {
            Action::Transfer { to, .. } | Action::Call { contract: to, .. } => (Some(*to), None),
            Action::MultiTransfer { .. } => (None, None),
            Action::Deploy { .. } => (None, Some(Address::create(&sender, transaction.nonce().0))),
        };
        Ok(Pending {
            bytes: Arc::clone(transaction.bytes()),
            hash: transaction.hash(),
            sender,
            to,
            contract,
            gas_limit: transaction.gas_limit(),
            intrinsic: admitted.intrinsic,
            gas_price: admitted.gas_price,
            reserve: admitted.reserve,
        })
    }

    /// Moves amounts that admission found covered.
    fn move_amounts(
        &mut self,
        from: Address,
        legs: impl IntoIterator<Item = (Address, crate::AssetId, u128)>,
    ) -> Result<Vec<Posting>, ApplyError> {
        let mut postings = Vec::new();
        for (to, asset, amount) in legs {
            self.overlay.transfer(from, to, asset, amount)?;
            postings.extend(Posting::transfer(from, to, asset, amount));
        }
        Ok(postings)
    }
}

impl Ended {
    /// Amounts were moved and nothing ran.
    const fn moved(postings: Vec<Posting>) -> Self {
        Self { status: Status::Success, call_gas: Gas(0), events: Vec::new(), output: Vec::new(), postings }
    }
}

#[cfg(test)]
mod tests;

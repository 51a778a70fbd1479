//! The audit: replays a journal from genesis and compares.

use std::path::Path;

use shroud_crypto::Hash;
use shroud_ledger::apply::Applier;
use shroud_ledger::posting::trial_balance;
use shroud_ledger::replay::replay;
use shroud_ledger::state::StateError;
use shroud_ledger::{AssetId, BlockHash, Genesis, Height};
use shroud_runtime::Runtime;
use shroud_vm::{CodeCache, Engine};

use crate::journal::{JournalOptions, Scan};
use crate::open::decode;
use crate::{KeepSegments, OpenError};

/// What an audit has found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The last block's height.
    pub height: Height,
    /// The last block's hash.
    pub hash: BlockHash,
    /// The state commitment after it, computed anew.
    pub state_root: Hash,
    /// Transactions replayed.
    pub transactions: u64,
    /// Assets whose books add up: all of them.
    pub assets: usize,
}

/// What an audit has found wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The journal cannot be read, or a block does not come out as it was written.
    #[error(transparent)]
    Journal(OpenError),
    /// The journal's beginning was recycled.
    #[error(
        "the journal begins at height {first}: earlier segments were recycled; a node that runs with keep-segments = \"all\" from genesis on keeps them"
    )]
    Incomplete {
        /// The first height that is left.
        first: Height,
    },
    /// Debits and credits differ.
    #[error("the books of asset {asset} do not add up at height {height}")]
    Books {
        /// Of which asset.
        asset: AssetId,
        /// After which block.
        height: Height,
    },
    /// The state is damaged.
    #[error(transparent)]
    State(StateError),
}

impl<E: Into<OpenError>> From<E> for AuditError {
    fn from(error: E) -> Self {
        Self::Journal(error.into())
    }
}

/// Replays the journal of a data directory from genesis: signatures, hash chain, receipts and state commitment of every
/// block, and the trial balance at the end. Reads only; a running ledger's last block may look torn, and is left out.
///
/// Cancel safety: cancel safe.
///
/// # Errors
/// [`AuditError`] names what does not hold, and where.
pub fn verify<R: Runtime>(
    runtime: &R,
    directory: &Path,
    genesis: &Genesis,
) -> impl Future<Output = Result<Audit, AuditError>> + Send {
    async move {
        let options = JournalOptions {
            directory: directory.join("journal"),
            genesis: genesis.hash(),
            segment_bytes: 0,
            keep: KeepSegments::All,
        };
        let (tree, tip) = (genesis.tree().clone(), *genesis.header());
        let mut applier = Applier::new(*genesis.parameters(), Engine::new(), CodeCache::default(), tree, tip);
        let mut transactions = 0u64;
        if let Some(mut scan) = Scan::new(runtime.clone(), options).await? {
            let first = scan.next_height();
            if first != Height(1) {
                return Err(AuditError::Incomplete { first });
            }
            while let Some(record) = scan.next().await? {
                let block = decode(&record)?;
                transactions = transactions.saturating_add(block.header.count.into());
                let mut seed = [0; 32];
                runtime.fill(&mut seed);
                let job = move || {
                    let replayed = replay(&mut applier, &block, &seed).map(drop);
                    (applier, replayed)
                };
                let (returned, replayed) = runtime.offload(job).await?;
                applier = returned;
                replayed?;
            }
        }
        let (tip, tree) = (*applier.tip(), applier.tree().clone());
        let books = runtime.offload(move || trial_balance(&tree)).await?.map_err(AuditError::State)?;
        if let Some(off) = books.iter().find(|book| !book.is_balanced()) {
            return Err(AuditError::Books { asset: off.asset, height: tip.height });
        }
        let (height, hash, state_root) = (tip.height, tip.hash(), tip.state_root);
        Ok(Audit { height, hash, state_root, transactions, assets: books.len() })
    }
}

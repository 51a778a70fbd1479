//! Applying a block of the journal again, and checking that the same comes out.

use shroud_crypto::Hash;

use crate::apply::{AppliedBlock, Applier, ApplyError, Progress, Rejection};
use crate::block::{Block, BlockHeader};
use crate::transaction::{DecodeError, Transaction, VerifyError, verify_batch};
use crate::{Height, TransactionHash};

/// Fuel of one slice: nobody else waits during a replay.
const SLICE: u64 = 1 << 40;

/// Why a block cannot be applied again. The journal, the state or the program is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The block does not follow the tip.
    #[error("block {stated} does not follow block {tip}")]
    Height {
        /// The block's height.
        stated: Height,
        /// The tip's.
        tip: Height,
    },
    /// The block follows another one.
    #[error("block {height} names another parent than the block before it")]
    Parent {
        /// Which block.
        height: Height,
    },
    /// A transaction does not decode.
    #[error("block {height}, transaction {index}: {error}")]
    Decode {
        /// Which block.
        height: Height,
        /// Which transaction.
        index: usize,
        /// Why.
        error: DecodeError,
    },
    /// A transaction's signature does not hold.
    #[error("block {height}, transaction {index}: {error}")]
    Verify {
        /// Which block.
        height: Height,
        /// Which transaction.
        index: usize,
        /// Why.
        error: VerifyError,
    },
    /// A transaction is refused.
    #[error("block {height}, transaction {hash}: {rejection}")]
    Rejected {
        /// Which block.
        height: Height,
        /// Which transaction.
        hash: TransactionHash,
        /// Why.
        rejection: Rejection,
    },
    /// A transaction does not fit.
    #[error("block {height} holds more than a block may")]
    BlockFull {
        /// Which block.
        height: Height,
    },
    /// Something else came out.
    #[error("block {height}: the {field} is {actual} after replay, the header says {stated}")]
    Mismatch {
        /// Which block.
        height: Height,
        /// What differs.
        field: &'static str,
        /// What the header says.
        stated: Hash,
        /// What came out.
        actual: Hash,
    },
    /// The machine cannot go on.
    #[error("block {height}: {error}")]
    Apply {
        /// Which block.
        height: Height,
        /// Why.
        error: ApplyError,
    },
}

/// Applies `block` after the applier's tip, signatures verified. Blocks for as long as it takes.
///
/// `seed` is fresh entropy, see [`shroud_crypto::ed25519::verify_batch`]. After an error the applier is as before the block,
/// except after a [`ReplayError::Mismatch`], where it must be dropped.
pub fn replay(applier: &mut Applier, block: &Block, seed: &[u8; 32]) -> Result<AppliedBlock, ReplayError> {
    let (height, tip) = (block.header.height, *applier.tip());
    if height != tip.height.next() {
        return Err(ReplayError::Height { stated: height, tip: tip.height });
    }
    if block.header.parent != tip.hash() {
        return Err(ReplayError::Parent { height });
    }
    let applied = apply(applier, block, seed);
    if applied.is_err() {
        applier.abandon();
    }
    let applied = applied?;
    compare(&block.header, &applied.block.header)?;
    Ok(applied)
}

fn apply(applier: &mut Applier, block: &Block, seed: &[u8; 32]) -> Result<AppliedBlock, ReplayError> {
    let height = block.header.height;
    let failed = |error| ReplayError::Apply { height, error };
    let decode = |(index, bytes): (usize, &std::sync::Arc<[u8]>)| {
        Transaction::decode(bytes).map_err(|error| ReplayError::Decode { height, index, error })
    };
    let transactions: Vec<_> = block.transactions.iter().enumerate().map(decode).collect::<Result<_, _>>()?;
    let chain_id = applier.parameters().chain_id;
    applier.begin(block.header.timestamp).map_err(failed)?;
    for (index, verified) in verify_batch(transactions, chain_id, seed).into_iter().enumerate() {
        let verified = verified.map_err(|error| ReplayError::Verify { height, index, error })?;
        let mut progress = applier.submit(&verified).map_err(failed)?;
        while progress == Progress::Running {
            progress = applier.resume(SLICE).map_err(failed)?;
        }
        match progress {
            Progress::Done { .. } | Progress::Running => {}
            Progress::BlockFull => return Err(ReplayError::BlockFull { height }),
            Progress::Rejected(rejection) => {
                return Err(ReplayError::Rejected { height, hash: verified.hash(), rejection });
            }
        }
    }
    applier.finish().map_err(failed)
}

fn compare(stated: &BlockHeader, actual: &BlockHeader) -> Result<(), ReplayError> {
    let fields = [
        ("state root", stated.state_root, actual.state_root),
        ("receipts root", stated.receipts_root, actual.receipts_root),
        ("transactions root", stated.transactions_root, actual.transactions_root),
        ("block hash", stated.hash(), actual.hash()),
    ];
    let height = stated.height;
    match fields.into_iter().find(|(_, stated, actual)| stated != actual) {
        None => Ok(()),
        Some((field, stated, actual)) => Err(ReplayError::Mismatch { height, field, stated, actual }),
    }
}

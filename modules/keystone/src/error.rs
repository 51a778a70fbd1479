//! What can go wrong, and what the caller should do about it.

use std::sync::Arc;

use shroud_ledger::Nonce;
use shroud_ledger::apply::Rejection;

/// Why a transaction was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The state does not allow it. It had no effect.
    #[error(transparent)]
    Rejected(Rejection),
    /// Transactions with earlier nonces did not arrive in time. It had no effect.
    #[error(
        "nonce gap: the account's next nonce is {expected}, the transaction has {stated} and was waiting too long"
    )]
    NonceGap {
        /// The account's next nonce.
        expected: Nonce,
        /// The transaction's.
        stated: Nonce,
    },
    /// Another transaction of the account with this nonce is waiting. This one had no effect.
    #[error("nonce taken: another transaction of this account waits with nonce {nonce}")]
    NonceTaken {
        /// The nonce of both.
        nonce: Nonce,
    },
    /// No room for another transaction that waits for an earlier nonce. It had no effect.
    #[error(
        "too many transactions wait for an earlier nonce (the limit is {limit}); the account's next nonce is {expected}"
    )]
    WaitingRoomFull {
        /// The account's next nonce.
        expected: Nonce,
        /// The limit that was reached.
        limit: usize,
    },
    /// The queue is full. The transaction had no effect: send it again later.
    #[error("overloaded: {waiting} transactions wait already; send it again later")]
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// The ledger is stopping. The transaction had no effect.
    #[error("the ledger is stopping")]
    Stopping,
    /// The ledger has failed and takes no more writes. Whether the transaction is included shows after recovery.
    #[error("the ledger has stopped: {0}")]
    Failed(Arc<str>),
}

/// Why a question about the past has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The store could not be read.
    #[error("the store cannot be read: {0}")]
    Store(Arc<str>),
    /// The state holds something that this program never writes.
    #[error(transparent)]
    State(#[from] shroud_ledger::state::StateError),
    /// The store holds something that this program never writes.
    #[error("the store's {what} is damaged: {reason}")]
    Damaged {
        /// What was looked up.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

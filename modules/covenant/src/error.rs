//! Why a call did not come to an outcome.

use shroud_crypto::Address;
use shroud_ledger::state::{MoveError, StateError};
use shroud_vm::{InvalidModule, Outcome, UnexpectedResponse};

/// Why a call or an estimate has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Too many calls wait already. Try again later.
    #[error("{waiting} contract calls are waiting already")]
    Overloaded {
        /// How many may wait.
        waiting: usize,
    },
    /// The deadline passed before the call's turn came. Try again later.
    #[error("the deadline passed before the call's turn came")]
    NoTurn,
    /// Nothing to call there.
    #[error("{contract} is not a contract")]
    NotAContract {
        /// The address.
        contract: Address,
    },
    /// The caller cannot pay what it sends with the call.
    #[error("the caller cannot pay the value: {0}")]
    Value(#[source] MoveError),
    /// The code to deploy is not a contract.
    #[error("the code is not a contract: {0}")]
    Code(#[from] InvalidModule),
    /// The transaction costs more than any block holds, however it ends.
    #[error("the transaction costs {intrinsic} gas before anything runs, above the block's limit of {limit}")]
    AboveBlockLimit {
        /// What it costs before anything runs.
        intrinsic: u64,
        /// The most gas of a block.
        limit: u64,
    },
    /// What the transaction does is not known here.
    #[error("a transaction with this action cannot be estimated")]
    UnknownAction,
    /// The transaction that was to be estimated would fail.
    #[error("the transaction would end as {}", .0.verdict.name())]
    WouldFail(Box<Outcome>),
    /// The node is stopping, or a job of its own failed.
    #[error("the code could not be compiled: {0}")]
    Lost(#[from] shroud_runtime::Lost),
    /// The ledger's state is damaged.
    #[error(transparent)]
    State(#[from] StateError),
    /// The ledger and the contract engine disagree: a bug of this program.
    #[error(transparent)]
    Unexpected(#[from] UnexpectedResponse),
}

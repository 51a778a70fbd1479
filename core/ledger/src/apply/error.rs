//! Why a transaction does not enter a block, and what can go wrong with the machine.

use shroud_crypto::Address;

use crate::state::{MoveError, StateError};
use crate::{AssetId, Gas, Nonce};

/// Why a transaction is refused in the present state. It has no effect; some of these pass with time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A transaction with this nonce is already in the chain.
    #[error("nonce too low: the account's next nonce is {expected}, the transaction has {stated}")]
    NonceTooLow {
        /// The account's next one.
        expected: Nonce,
        /// The transaction's.
        stated: Nonce,
    },
    /// Transactions before this one are missing.
    #[error("nonce too high: the account's next nonce is {expected}, the transaction has {stated}")]
    NonceTooHigh {
        /// The account's next one.
        expected: Nonce,
        /// The transaction's.
        stated: Nonce,
    },
    /// The sender does not pay the chain's gas price.
    #[error("the transaction pays at most {offered} for a gas, the price is {price}")]
    FeeTooLow {
        /// What is offered.
        offered: u128,
        /// The price.
        price: u128,
    },
    /// The gas limit does not cover what the transaction costs at least.
    #[error("the gas limit is {limit}, the transaction costs at least {intrinsic}")]
    GasLimitTooLow {
        /// The limit.
        limit: Gas,
        /// The least cost.
        intrinsic: Gas,
    },
    /// No block holds so much gas.
    #[error("the gas limit is {limit}, above the block's {block}")]
    GasLimitTooHigh {
        /// The limit.
        limit: Gas,
        /// A block's limit.
        block: Gas,
    },
    /// The sender cannot pay the amount, or gas and amount.
    #[error(
        "insufficient funds: the balance of asset {asset} is {balance}, the transaction may need {needed}"
    )]
    InsufficientFunds {
        /// Of what.
        asset: AssetId,
        /// What there is.
        balance: u128,
        /// What is needed at most (the largest number, if more than 128 bits hold).
        needed: u128,
    },
    /// There is no such asset.
    #[error("there is no asset {asset}")]
    UnknownAsset {
        /// Which.
        asset: AssetId,
    },
    /// A native call to an account without code.
    #[error("the account {address} is not a contract")]
    NotAContract {
        /// Which.
        address: Address,
    },
}

/// Why the machine cannot go on. Except for misuse, drop the block, stop, and recover from the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Misuse: no block was begun.
    #[error("no block was begun")]
    NoBlock,
    /// Misuse: the block before was neither finished nor abandoned.
    #[error("a block is already begun")]
    BlockOpen,
    /// Misuse: a contract call has not ended.
    #[error("a contract call is running")]
    Busy,
    /// Misuse: no contract call is running.
    #[error("no contract call is running")]
    Idle,
    /// The books do not add up: the state was damaged.
    #[error("the books do not add up: the state was damaged")]
    Books,
    /// The state is damaged.
    #[error(transparent)]
    State(#[from] StateError),
    /// The contract engine and the ledger do not agree.
    #[error("the contract engine and the ledger do not agree: {0}")]
    Engine(String),
}

impl From<MoveError> for ApplyError {
    /// Amounts that admission found covered, or that were reserved, can always be moved.
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::State(error) => Self::State(error),
            MoveError::Insufficient { .. } | MoveError::Overflow => Self::Books,
        }
    }
}

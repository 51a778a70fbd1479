//! What a contract asks of the ledger, and the answers.

use shroud_crypto::Address;

/// A question that only the ledger can answer. The call stands still until [`Execution::respond`](crate::Execution::respond).
///
/// Keys and values are within the limits of [`limits`](crate::limits); the contract in question is always the one of
/// the call's context. A view call never issues a request that [writes](Self::is_write).
///
/// Exhaustive on purpose: a request that the ledger does not answer must not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRequest {
    /// Load the value of `key`: answer [`HostResponse::Loaded`].
    StorageLoad {
        /// The key, chosen by the contract.
        key: Vec<u8>,
    },
    /// Store `value` under `key`: answer [`HostResponse::Stored`].
    StorageStore {
        /// The key, chosen by the contract.
        key: Vec<u8>,
        /// The value. An empty one is stored, not removed.
        value: Vec<u8>,
    },
    /// Remove `key`: answer [`HostResponse::Removed`].
    StorageRemove {
        /// The key, chosen by the contract.
        key: Vec<u8>,
    },
    /// Read an account's balance: answer [`HostResponse::Balance`].
    Balance {
        /// The asset's number.
        asset: u32,
        /// The account.
        address: Address,
    },
    /// Move `amount` of `asset` from the contract to `to`: answer [`HostResponse::Transferred`].
    Transfer {
        /// The asset's number.
        asset: u32,
        /// The receiver.
        to: Address,
        /// The amount in base units.
        amount: u128,
    },
}

impl HostRequest {
    /// Whether answering it changes the ledger.
    pub const fn is_write(&self) -> bool {
        match self {
            Self::StorageStore { .. } | Self::StorageRemove { .. } | Self::Transfer { .. } => true,
            Self::StorageLoad { .. } | Self::Balance { .. } => false,
        }
    }
}

/// The ledger's answer to a [`HostRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostResponse {
    /// The value, if the key has one.
    Loaded(Option<Vec<u8>>),
    /// The value is stored.
    Stored,
    /// The key is gone.
    Removed {
        /// Whether it had a value before.
        existed: bool,
    },
    /// The balance in base units: zero for unknown accounts and assets.
    Balance(u128),
    /// The transfer took place, or why not. The contract sees which and goes on.
    Transferred(Result<(), TransferRefusal>),
}

/// Why a transfer did not take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferRefusal {
    /// The contract does not have that much.
    #[error("the contract's balance is below the amount")]
    InsufficientFunds,
    /// No such asset.
    #[error("no asset has this number")]
    UnknownAsset,
    /// The receiver's balance would overflow.
    #[error("the receiver's balance would exceed 128 bits")]
    Overflow,
}

impl TransferRefusal {
    /// The number that the contract sees. Zero means that the transfer took place.
    pub const fn code(self) -> u32 {
        match self {
            Self::InsufficientFunds => 1,
            Self::UnknownAsset => 2,
            Self::Overflow => 3,
        }
    }
}

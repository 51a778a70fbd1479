//! The numbers of the ledger, each with a type of its own.

use std::fmt;

use serde::{Deserialize, Serialize};
use shroud_crypto::Hash;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$inner> for $name {
            fn from(number: $inner) -> Self {
                Self(number)
            }
        }
    };
}

number! {
    /// An asset's number, given by the genesis file.
    AssetId(u32)
}
number! {
    /// How many transactions an account has had included.
    Nonce(u64)
}
number! {
    /// A block's place in the chain. The genesis state has height 0, the first block height 1.
    Height(u64)
}
number! {
    /// The chain's identity: a transaction for one chain is not valid on another.
    ChainId(u64)
}
number! {
    /// Units of work.
    Gas(u64)
}
number! {
    /// Milliseconds since 1970 (UTC).
    Timestamp(u64)
}

/// GCC, the asset that pays for gas.
pub const GCC: AssetId = AssetId(0);

impl Height {
    /// The next block's height.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A transaction's hash: keccak256 of its whole encoding, for both kinds.
pub type TransactionHash = Hash;
/// A block's hash: keccak256 of its header's encoding.
pub type BlockHash = Hash;
/// A contract code's hash: keccak256 of the code.
pub type CodeHash = Hash;

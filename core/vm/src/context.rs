//! What a call is about: who calls whom, with what, when.

use shroud_crypto::Address;

/// Everything that a call may read about itself. The driver fills it in; the machine only shows it to the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// The contract that is called: the owner of the storage, and the payer of its transfers.
    pub contract: Address,
    /// Who calls it.
    pub caller: Address,
    /// Who signed the transaction. The same as `caller` unless a contract calls another.
    pub origin: Address,
    /// What the driver has credited to the contract with this call.
    pub value: Value,
    /// The chain's identity.
    pub chain_id: u64,
    /// The height of the block that the call belongs to.
    pub block_height: u64,
    /// The time of that block, in milliseconds since 1970.
    pub timestamp_millis: u64,
    /// The most gas that the call may use.
    pub gas_limit: u64,
    /// Which function of the contract is called, and whether it may write.
    pub entry: Entry,
    /// The bytes that the contract is given, at most [`MAX_INPUT_BYTES`](crate::limits::MAX_INPUT_BYTES).
    pub input: Vec<u8>,
}

/// An amount of one asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The asset's number in the ledger.
    pub asset: u32,
    /// The amount in the asset's base units.
    pub amount: u128,
}

/// How a contract is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `shroud_init`, once, when the contract is deployed.
    Init,
    /// `shroud_call`, with writes.
    Call,
    /// `shroud_call`, where any attempt to write is a trap.
    View,
}

impl Entry {
    /// The name of the exported function.
    pub const fn export(self) -> &'static str {
        match self {
            Self::Init => "shroud_init",
            Self::Call | Self::View => "shroud_call",
        }
    }

    /// Whether the call may change anything.
    pub const fn may_write(self) -> bool {
        !matches!(self, Self::View)
    }
}

//! What is called, and what has to be so before it runs.

use shroud_crypto::{Address, Hash};
use shroud_ledger::state::Overlay;
use shroud_ledger::transaction::{AccessListSize, Action, Kind};
use shroud_ledger::{AssetId, ChainId, Gas, Height, Timestamp};
use shroud_vm::{CallContext, Entry, Value};

use crate::CallError;

/// A call of a contract that no transaction carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractCall {
    /// The contract.
    pub contract: Address,
    /// On whose behalf. Nobody checks a signature: nothing is kept.
    pub caller: Address,
    /// The asset that `value` is of.
    pub asset: AssetId,
    /// What the caller sends along, in base units.
    pub value: u128,
    /// The input.
    pub input: Vec<u8>,
    /// The most gas it may use; never more than [`Settings::max_gas`](crate::Settings::max_gas).
    pub gas_limit: Option<Gas>,
}

/// A transaction that nobody has signed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who will sign it.
    pub sender: Address,
    /// Which envelope it will have: one of Ethereum that calls an address without code is a transfer.
    pub kind: Kind,
    /// What it does.
    pub action: Action,
    /// What its access list holds.
    pub access_list: AccessListSize,
}

/// The block that a call believes to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockView {
    /// The chain.
    pub chain_id: ChainId,
    /// The block's height.
    pub height: Height,
    /// The block's time.
    pub timestamp: Timestamp,
}

impl BlockView {
    /// The context of a call in this block.
    pub(crate) fn context(self, call: ContractCall, entry: Entry, gas_limit: Gas) -> CallContext {
        CallContext {
            contract: call.contract,
            caller: call.caller,
            origin: call.caller,
            value: Value { asset: call.asset.0, amount: call.value },
            chain_id: self.chain_id.0,
            block_height: self.height.0,
            timestamp_millis: self.timestamp.0,
            gas_limit: gas_limit.0,
            entry,
            input: call.input,
        }
    }
}

/// Moves what is sent along with `call`, as a transaction would.
pub(crate) fn move_value(overlay: &mut Overlay, call: &ContractCall) -> Result<(), CallError> {
    overlay.transfer(call.caller, call.contract, call.asset, call.value).map_err(CallError::Value)
}

/// The hash of a contract's code.
pub(crate) fn code_hash(overlay: &Overlay, contract: Address) -> Result<Hash, CallError> {
    overlay.account(contract)?.code.ok_or(CallError::NotAContract { contract })
}

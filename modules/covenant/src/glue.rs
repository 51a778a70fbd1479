//! The ledger's answers to a call's requests.

use shroud_crypto::Address;
use shroud_ledger::AssetId;
use shroud_ledger::state::{MoveError, Overlay};
use shroud_vm::{HostRequest, HostResponse, TransferRefusal};

use crate::CallError;

/// Answers a request of `contract` from `overlay`.
pub(crate) fn answer(
    overlay: &mut Overlay,
    contract: Address,
    request: HostRequest,
) -> Result<HostResponse, CallError> {
    Ok(match request {
        HostRequest::StorageLoad { key } => {
            HostResponse::Loaded(overlay.storage(contract, &key).map(<[u8]>::to_vec))
        }
        HostRequest::StorageStore { key, value } => {
            overlay.set_storage(contract, &key, Some(value));
            HostResponse::Stored
        }
        HostRequest::StorageRemove { key } => {
            HostResponse::Removed { existed: overlay.set_storage(contract, &key, None) }
        }
        HostRequest::Balance { asset, address } => {
            HostResponse::Balance(overlay.balance(address, AssetId(asset))?)
        }
        HostRequest::Transfer { asset, to, amount } => {
            HostResponse::Transferred(transfer(overlay, contract, to, AssetId(asset), amount)?)
        }
    })
}

fn transfer(
    overlay: &mut Overlay,
    from: Address,
    to: Address,
    asset: AssetId,
    amount: u128,
) -> Result<Result<(), TransferRefusal>, CallError> {
    if overlay.asset(asset)?.is_none() {
        return Ok(Err(TransferRefusal::UnknownAsset));
    }
    match overlay.transfer(from, to, asset, amount) {
        Ok(()) => Ok(Ok(())),
        Err(MoveError::Overflow) => Ok(Err(TransferRefusal::Overflow)),
        Err(MoveError::State(error)) => Err(error.into()),
        Err(_) => Ok(Err(TransferRefusal::InsufficientFunds)),
    }
}

//! The ledger's side of a contract call: answers to what the engine asks.
//!
//! Calls in blocks and view calls are answered by the same function, so that they cannot differ.

use shroud_crypto::Address;
use shroud_vm::{HostRequest, HostResponse, TransferRefusal};

use crate::AssetId;
use crate::posting::Posting;
use crate::state::{MoveError, Overlay, StateError};

/// Answers a request of `contract` from `overlay`, and adds what moves to `postings`.
///
/// # Errors
///
/// Only when the state is damaged; refused transfers are answers.
pub fn answer(
    overlay: &mut Overlay,
    contract: Address,
    request: HostRequest,
    postings: &mut Vec<Posting>,
) -> Result<HostResponse, StateError> {
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
            let refusal = transfer(overlay, contract, to, AssetId(asset), amount)?;
            if refusal.is_ok() {
                postings.extend(Posting::transfer(contract, to, AssetId(asset), amount));
            }
            HostResponse::Transferred(refusal)
        }
    })
}

fn transfer(
    overlay: &mut Overlay,
    from: Address,
    to: Address,
    asset: AssetId,
    amount: u128,
) -> Result<Result<(), TransferRefusal>, StateError> {
    if overlay.asset(asset)?.is_none() {
        return Ok(Err(TransferRefusal::UnknownAsset));
    }
    match overlay.transfer(from, to, asset, amount) {
        Ok(()) => Ok(Ok(())),
        Err(MoveError::Insufficient { .. }) => Ok(Err(TransferRefusal::InsufficientFunds)),
        Err(MoveError::Overflow) => Ok(Err(TransferRefusal::Overflow)),
        Err(MoveError::State(error)) => Err(error),
    }
}

//! Whether a transaction may enter a block: checks that change nothing.

use std::collections::BTreeMap;

use super::{ApplyError, Rejection};
use crate::state::{Account, ChainParameters, Overlay};
use crate::transaction::{Action, Kind, VerifiedTransaction};
use crate::{AssetId, CodeHash, GCC, Gas, gas};

/// What the checks have found out.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) sender: Account,
    pub(super) intrinsic: Gas,
    pub(super) gas_price: u128,
    /// The gas limit at that price.
    pub(super) reserve: u128,
    /// The code of the contract that is called.
    pub(super) code: Option<CodeHash>,
}

pub(super) fn admit(
    parameters: &ChainParameters,
    overlay: &Overlay,
    transaction: &VerifiedTransaction,
) -> Result<Result<Admitted, Rejection>, ApplyError> {
    let sender = overlay.account(transaction.sender())?;
    let (expected, stated) = (sender.nonce, transaction.nonce());
    #[cfg(feature = "planted-faults")]
    let expected = {
        use shroud_planted::{Fault, is_planted};
        let careless = (stated < expected && is_planted(Fault::ApplyTwiceOnRetry))
            || (stated > expected && is_planted(Fault::WrongNonceOrder));
        if careless { stated } else { expected }
    };
    if stated < expected {
        return Ok(Err(Rejection::NonceTooLow { expected, stated }));
    }
    if stated > expected {
        return Ok(Err(Rejection::NonceTooHigh { expected, stated }));
    }
    let Some(gas_price) = transaction.effective_gas_price(parameters.gas_price) else {
        let (offered, price) = (transaction.max_fee_per_gas(), parameters.gas_price);
        return Ok(Err(Rejection::FeeTooLow { offered, price }));
    };
    let (limit, intrinsic) =
        (transaction.gas_limit(), gas::intrinsic(transaction.action(), transaction.access_list()));
    if limit < intrinsic {
        return Ok(Err(Rejection::GasLimitTooLow { limit, intrinsic }));
    }
    if limit > parameters.block_gas_limit {
        return Ok(Err(Rejection::GasLimitTooHigh { limit, block: parameters.block_gas_limit }));
    }
    // As in Ethereum, the sender must have what the gas may cost at most, though it is charged at the effective price.
    let most = u128::from(limit.0).saturating_mul(transaction.max_fee_per_gas());
    let mut needs = BTreeMap::from([(GCC, most)]);
    add_needs(transaction.action(), &mut needs);
    for (asset, needed) in needs {
        if asset != GCC && overlay.asset(asset)?.is_none() {
            return Ok(Err(Rejection::UnknownAsset { asset }));
        }
        let balance = sender.balance(asset);
        if balance < needed || (asset == GCC && most == u128::MAX) {
            return Ok(Err(Rejection::InsufficientFunds { asset, balance, needed }));
        }
    }
    let code = match transaction.action() {
        Action::Call { contract, .. } => {
            let code = overlay.account(*contract)?.code;
            if code.is_none() && transaction.kind() == Kind::Native {
                return Ok(Err(Rejection::NotAContract { address: *contract }));
            }
            code
        }
        _ => None,
    };
    let reserve = u128::from(limit.0).checked_mul(gas_price).ok_or(ApplyError::Books)?;
    Ok(Ok(Admitted { sender, intrinsic, gas_price, reserve, code }))
}

fn add_needs(action: &Action, needs: &mut BTreeMap<AssetId, u128>) {
    let mut add = |asset: AssetId, amount: u128| {
        let need = needs.entry(asset).or_default();
        *need = need.saturating_add(amount);
    };
    match action {
        Action::Transfer { asset, amount, .. } => add(*asset, *amount),
        Action::MultiTransfer { legs } => legs.iter().for_each(|leg| add(leg.asset, leg.amount)),
        Action::Call { asset, value, .. } => add(*asset, *value),
        Action::Deploy { .. } => {}
    }
}

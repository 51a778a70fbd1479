//! What a transaction costs before anything runs. What a contract call costs on top is `shroud_vm::gas`.

use crate::Gas;
use crate::transaction::{AccessListSize, Action};

/// Gas of any transaction (Ethereum's yellow paper, G_transaction).
pub const TRANSACTION: u64 = 21_000;
/// Gas of a zero byte of input (G_txdatazero).
pub const INPUT_ZERO_BYTE: u64 = 4;
/// Gas of another byte of input (EIP-2028).
pub const INPUT_BYTE: u64 = 16;
/// Gas of each leg of a multi-transfer after the first: two accounts changed, as in a transfer, without a signature.
pub const TRANSFER_LEG: u64 = 9_000;
/// Gas of a deployment (G_txcreate).
pub const DEPLOY: u64 = 32_000;
/// Gas of each byte of deployed code: validated, compiled, kept for ever.
pub const DEPLOY_BYTE: u64 = shroud_vm::gas::DEPLOY_BYTE;
/// Gas of an address in an access list (EIP-2930).
pub const ACCESS_LIST_ADDRESS: u64 = 2_400;
/// Gas of a storage key in an access list (EIP-2930).
pub const ACCESS_LIST_KEY: u64 = 1_900;

/// The gas that an action costs however it ends. A gas limit below it is refused.
pub fn intrinsic(action: &Action, access_list: AccessListSize) -> Gas {
    let action = match action {
        Action::Transfer { .. } => 0,
        Action::MultiTransfer { legs } => TRANSFER_LEG.saturating_mul((legs.len() as u64).saturating_sub(1)),
        Action::Deploy { code, input } => DEPLOY
            .saturating_add(DEPLOY_BYTE.saturating_mul(code.len() as u64))
            .saturating_add(input_gas(input)),
        Action::Call { input, .. } => input_gas(input),
    };
    let access_list = ACCESS_LIST_ADDRESS
        .saturating_mul(access_list.addresses as u64)
        .saturating_add(ACCESS_LIST_KEY.saturating_mul(access_list.keys as u64));
    Gas(TRANSACTION.saturating_add(action).saturating_add(access_list))
}

fn input_gas(input: &[u8]) -> u64 {
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let others = input.len() as u64 - zeros;
    zeros.saturating_mul(INPUT_ZERO_BYTE).saturating_add(others.saturating_mul(INPUT_BYTE))
}

#[cfg(test)]
mod tests {
    use shroud_crypto::Address;

    use super::*;
    use crate::GCC;

    #[test]
    fn known_costs() {
        let none = AccessListSize::default();
        let call = |input: &[u8]| Action::Call {
            contract: Address::ZERO,
            asset: GCC,
            value: 0,
            input: input.into(),
        };
        assert_eq!(intrinsic(&call(b""), none), Gas(21_000));
        assert_eq!(intrinsic(&call(&[0, 1, 0]), none), Gas(21_024));
        let list = AccessListSize { addresses: 1, keys: 2 };
        assert_eq!(intrinsic(&call(b""), list), Gas(21_000 + 2_400 + 3_800));
        let deploy = Action::Deploy { code: vec![1; 10], input: vec![] };
        assert_eq!(intrinsic(&deploy, none), Gas(53_000 + 10 * DEPLOY_BYTE));
    }
}

//! One transfer, from its intent to signed bytes.

use shroud_crypto::Address;
use shroud_crypto::keystore::Secret;
use shroud_crypto::secp256k1::Secp256k1Error;
use shroud_ledger::transaction::ethereum::{EthereumFees, EthereumRequest};
use shroud_ledger::transaction::native::NativeBody;
use shroud_ledger::transaction::{AccessListSize, Action};
use shroud_ledger::{AssetId, ChainId, GCC, Gas, Nonce, gas};

/// What a plain transfer uses.
pub const TRANSFER_GAS: Gas = Gas(gas::TRANSACTION);

/// A payment that cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaymentError {
    /// Ethereum's envelope knows one asset.
    #[error(
        "a secp256k1 key signs Ethereum transactions, which move GCC only: use an ed25519 key for asset {0}"
    )]
    Asset(AssetId),
    /// The key cannot sign.
    #[error("signing failed: {0}")]
    Signature(#[from] Secp256k1Error),
}

/// A transfer from the signer's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// For which chain.
    pub chain_id: ChainId,
    /// The sender's next nonce.
    pub nonce: Nonce,
    /// To whom.
    pub to: Address,
    /// Of what.
    pub asset: AssetId,
    /// How much, in base units.
    pub amount: u128,
    /// What may be paid for it.
    pub fees: Fees,
}

/// What a transaction may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// The most gas that it may use.
    pub gas_limit: Gas,
    /// What a gas costs, in base units of GCC.
    pub gas_price: u128,
}

impl Fees {
    /// What is paid at most. `None` beyond 128 bits.
    #[must_use]
    pub fn most(&self) -> Option<u128> {
        self.gas_price.checked_mul(u128::from(self.gas_limit.0))
    }
}

impl Payment {
    /// Signs the payment: natively with an Ed25519 key, as an EIP-1559 transaction with a secp256k1 key. Gives the
    /// bytes that a node takes.
    ///
    /// # Errors
    /// [`PaymentError`].
    pub fn sign(&self, key: &Secret) -> Result<Vec<u8>, PaymentError> {
        match key {
            Secret::Ed25519(key) => {
                let body = NativeBody {
                    chain_id: self.chain_id,
                    nonce: self.nonce,
                    gas_limit: self.fees.gas_limit,
                    gas_price: self.fees.gas_price,
                    action: Action::Transfer { to: self.to, asset: self.asset, amount: self.amount },
                };
                Ok(body.sign(key).encode())
            }
            Secret::Secp256k1(_) if self.asset != GCC => Err(PaymentError::Asset(self.asset)),
            Secret::Secp256k1(key) => {
                let request = EthereumRequest {
                    chain_id: self.chain_id,
                    nonce: self.nonce,
                    gas_limit: self.fees.gas_limit,
                    fees: EthereumFees::Dynamic {
                        max_fee_per_gas: self.fees.gas_price,
                        max_priority_fee_per_gas: 0,
                    },
                    to: self.to,
                    value: self.amount,
                    input: Vec::new(),
                };
                Ok(request.sign(key)?)
            }
        }
    }

    /// The least gas that it needs, for a receiver without code.
    #[must_use]
    pub fn intrinsic_gas(&self) -> Gas {
        let action = Action::Transfer { to: self.to, asset: self.asset, amount: self.amount };
        gas::intrinsic(&action, AccessListSize::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shroud_crypto::keystore::KeyKind;
    use shroud_ledger::transaction::{Transaction, VerifyError, verify};

    fn key(kind: KeyKind) -> Secret {
        Secret::from_bytes(kind, &[7; 32]).unwrap()
    }

    proptest! {
        #[test]
        fn nodes_verify_what_is_signed(
            nonce: u64, to: [u8; 20], asset in 0_u32..3, amount: u128, gas_price in 0..u128::MAX >> 64, native: bool,
        ) {
            let kind = if native { KeyKind::Ed25519 } else { KeyKind::Secp256k1 };
            let payment = Payment {
                chain_id: ChainId(7),
                nonce: Nonce(nonce),
                to: Address(to),
                asset: AssetId(asset),
                amount,
                fees: Fees { gas_limit: TRANSFER_GAS, gas_price },
            };
            prop_assert_eq!(payment.intrinsic_gas(), TRANSFER_GAS);
            let bytes = match payment.sign(&key(kind)) {
                Ok(bytes) => bytes,
                Err(PaymentError::Asset(id)) => {
                    prop_assert_eq!((native, id == GCC), (false, false));
                    return Ok(());
                }
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            let verified = match Transaction::decode(&bytes) {
                Ok(transaction) => verify(transaction, ChainId(7)).unwrap(),
                // Ethereum's own rule (EIP-2681): the last nonce is never used.
                Err(_) if nonce == u64::MAX => return Ok(()),
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            prop_assert_eq!(verified.sender(), key(kind).address());
            prop_assert_eq!(verified.nonce(), Nonce(nonce));
            prop_assert_eq!(verified.max_fee_per_gas(), gas_price);
            match verified.action() {
                Action::Transfer { to, asset, amount } => {
                    prop_assert_eq!((*to, *asset, *amount), (payment.to, payment.asset, payment.amount));
                }
                Action::Call { contract, value, .. } => {
                    prop_assert_eq!((*contract, *value), (payment.to, payment.amount));
                }
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
            let other = verify(Transaction::decode(&bytes).unwrap(), ChainId(8));
            prop_assert!(matches!(other, Err(VerifyError::ChainId { .. })), "{:?}", other);
        }
    }

    #[test]
    fn the_most_that_is_paid() {
        let fees = Fees { gas_limit: Gas(u64::MAX), gas_price: u128::MAX };
        assert_eq!(fees.most(), None);
        assert_eq!(Fees { gas_limit: Gas(21_000), gas_price: 2 }.most(), Some(42_000));
    }
}

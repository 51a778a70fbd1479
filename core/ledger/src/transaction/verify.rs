//! Who signed: verification one by one and in batches.

use std::sync::Arc;

use shroud_crypto::ed25519::{self, BatchItem};
use shroud_crypto::secp256k1::Secp256k1Error;
use shroud_crypto::{Address, Hash};

use super::{AccessListSize, Action, Envelope, EthereumTransaction, SignedNative, Transaction};
use crate::{ChainId, GCC, Gas, Nonce, TransactionHash};

/// A transaction whose signature holds, for this chain. Only [`verify`] and [`verify_batch`] make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTransaction {
    bytes: Arc<[u8]>,
    hash: TransactionHash,
    kind: Kind,
    sender: Address,
    nonce: Nonce,
    gas_limit: Gas,
    max_fee_per_gas: u128,
    max_priority_fee_per_gas: u128,
    access_list: AccessListSize,
    action: Action,
}

/// Which kind a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Native.
    Native,
    /// Ethereum.
    Ethereum,
}

/// Why a decoded transaction is refused whatever the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Signed for another chain.
    #[error("the transaction is for chain {stated}, this is chain {expected}")]
    ChainId {
        /// For which it is.
        stated: ChainId,
        /// Which this is.
        expected: ChainId,
    },
    /// The Ed25519 signature does not hold.
    #[error(transparent)]
    Ed25519(#[from] ed25519::InvalidSignature),
    /// The secp256k1 signature does not hold.
    #[error(transparent)]
    Secp256k1(#[from] Secp256k1Error),
}

/// Verifies one transaction.
pub fn verify(transaction: Transaction, chain_id: ChainId) -> Result<VerifiedTransaction, VerifyError> {
    check_chain(&transaction, chain_id)?;
    let sender = match &transaction.envelope {
        Envelope::Native(signed) => {
            let digest = signed.body.signing_digest();
            ed25519::verify(&signed.key, digest.as_bytes(), &signed.signature)?;
            signed.sender()
        }
        Envelope::Ethereum(ethereum) => ethereum.recover()?,
    };
    Ok(verified(transaction, sender))
}

/// Verifies many transactions, the native ones in one batch; the answers are in order and the same as [`verify`]'s.
///
/// `seed` is fresh entropy, see [`ed25519::verify_batch`].
pub fn verify_batch(
    transactions: Vec<Transaction>,
    chain_id: ChainId,
    seed: &[u8; 32],
) -> Vec<Result<VerifiedTransaction, VerifyError>> {
    let digests: Vec<Option<Hash>> = transactions
        .iter()
        .map(|transaction| match &transaction.envelope {
            Envelope::Native(signed) if check_chain(transaction, chain_id).is_ok() => {
                Some(signed.body.signing_digest())
            }
            _ => None,
        })
        .collect();
    let items: Vec<BatchItem<'_>> = transactions
        .iter()
        .zip(&digests)
        .filter_map(|(transaction, digest)| match (&transaction.envelope, digest) {
            (Envelope::Native(signed), Some(digest)) => {
                Some(BatchItem { key: signed.key, message: digest.as_bytes(), signature: signed.signature })
            }
            _ => None,
        })
        .collect();
    let mut verdicts = ed25519::verify_batch(&items, seed).into_iter();
    transactions
        .into_iter()
        .zip(&digests)
        .map(|(transaction, digest)| match (&transaction.envelope, digest) {
            (Envelope::Native(signed), Some(_)) => {
                let sender = signed.sender();
                match verdicts.next() {
                    Some(true) => Ok(verified(transaction, sender)),
                    _ => Err(ed25519::InvalidSignature.into()),
                }
            }
            _ => verify(transaction, chain_id),
        })
        .collect()
}

fn check_chain(transaction: &Transaction, expected: ChainId) -> Result<(), VerifyError> {
    let stated = match &transaction.envelope {
        Envelope::Native(signed) => signed.body.chain_id,
        Envelope::Ethereum(ethereum) => ethereum.chain_id,
    };
    if stated == expected { Ok(()) } else { Err(VerifyError::ChainId { stated, expected }) }
}

fn verified(transaction: Transaction, sender: Address) -> VerifiedTransaction {
    let Transaction { bytes, hash, envelope } = transaction;
    match envelope {
        Envelope::Native(SignedNative { body, .. }) => VerifiedTransaction {
            bytes,
            hash,
            kind: Kind::Native,
            sender,
            nonce: body.nonce,
            gas_limit: body.gas_limit,
            max_fee_per_gas: body.gas_price,
            max_priority_fee_per_gas: body.gas_price,
            access_list: AccessListSize::default(),
            action: body.action,
        },
        Envelope::Ethereum(ethereum) => {
            let access_list = ethereum.access_list_size();
            let EthereumTransaction { nonce, gas_limit, max_fee_per_gas, max_priority_fee_per_gas, .. } =
                ethereum;
            let EthereumTransaction { to: contract, value, input, .. } = ethereum;
            let action = Action::Call { contract, asset: GCC, value, input };
            VerifiedTransaction {
                bytes,
                hash,
                kind: Kind::Ethereum,
                sender,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                access_list,
                action,
            }
        }
    }
}

impl VerifiedTransaction {
    /// The encoding.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// keccak256 of the encoding.
    pub const fn hash(&self) -> TransactionHash {
        self.hash
    }

    /// Which kind it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Who signed.
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// The sender's nonce.
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The most gas that it may use.
    pub const fn gas_limit(&self) -> Gas {
        self.gas_limit
    }

    /// The most that a gas may cost.
    pub const fn max_fee_per_gas(&self) -> u128 {
        self.max_fee_per_gas
    }

    /// What a gas costs where the chain's price is `base`; `None`: the sender does not pay that much (EIP-1559).
    pub fn effective_gas_price(&self, base: u128) -> Option<u128> {
        let above = self.max_fee_per_gas.checked_sub(base)?;
        base.checked_add(above.min(self.max_priority_fee_per_gas))
    }

    /// What its access list holds.
    pub const fn access_list(&self) -> AccessListSize {
        self.access_list
    }

    /// What it does.
    pub const fn action(&self) -> &Action {
        &self.action
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shroud_crypto::{ed25519::SigningKey, secp256k1};

    use super::super::ethereum::{EthereumFees, EthereumRequest};
    use super::super::native::NativeBody;
    use super::*;

    const CHAIN: ChainId = ChainId(7331);

    fn transaction(kind: u8, chain_id: ChainId, nonce: u64) -> Transaction {
        let (nonce, gas_limit, to) = (Nonce(nonce), Gas(21_000), Address([1; 20]));
        let bytes = if kind == 0 {
            let action = Action::Transfer { to, asset: GCC, amount: 5 };
            let body = NativeBody { chain_id, nonce, gas_limit, gas_price: 1, action };
            body.sign(&SigningKey::from_seed(&[1; 32])).encode()
        } else {
            let fees = EthereumFees::Legacy { gas_price: 1 };
            let request = EthereumRequest { chain_id, nonce, gas_limit, fees, to, value: 5, input: vec![] };
            request.sign(&secp256k1::SigningKey::from_secret(&[1; 32]).unwrap()).unwrap()
        };
        Transaction::decode(&bytes).unwrap()
    }

    #[test]
    fn wrong_chains_are_refused() {
        for kind in 0..2 {
            let error = verify(transaction(kind, ChainId(1), 0), CHAIN).unwrap_err();
            assert_eq!(error, VerifyError::ChainId { stated: ChainId(1), expected: CHAIN });
        }
    }

    #[test]
    fn effective_price_follows_eip_1559() {
        let fees = EthereumFees::Dynamic { max_fee_per_gas: 100, max_priority_fee_per_gas: 10 };
        let (nonce, gas_limit, to) = (Nonce(0), Gas(21_000), Address([1; 20]));
        let request =
            EthereumRequest { chain_id: CHAIN, nonce, gas_limit, fees, to, value: 5, input: vec![] };
        let bytes = request.sign(&secp256k1::SigningKey::from_secret(&[1; 32]).unwrap()).unwrap();
        let verified = verify(Transaction::decode(&bytes).unwrap(), CHAIN).unwrap();
        assert_eq!(verified.effective_gas_price(50), Some(60));
        assert_eq!(verified.effective_gas_price(95), Some(100));
        assert_eq!(verified.effective_gas_price(101), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn batches_answer_as_singles(kinds in proptest::collection::vec((0..2u8, 0..4u8), 0..12), seed: [u8; 32]) {
            let transactions: Vec<_> = (0u64..).zip(kinds).map(|(nonce, (kind, damage))| {
                let chain = if damage == 0 { ChainId(1) } else { CHAIN };
                let mut made = transaction(kind, chain, nonce);
                if damage == 1 && let Envelope::Native(signed) = &mut made.envelope {
                    signed.signature.0[3] ^= 1;
                }
                made
            }).collect();
            let singles: Vec<_> = transactions.iter().cloned().map(|one| verify(one, CHAIN)).collect();
            prop_assert_eq!(verify_batch(transactions, CHAIN, &seed), singles);
        }
    }
}

//! Transactions: what arrives, decoded and verified.
//!
//! Two kinds share one account space and one nonce: native envelopes signed with Ed25519 ([`native`]) and Ethereum envelopes
//! ([`ethereum`]). [`Transaction::decode`] accepts canonical encodings only; [`verify`] and [`verify_batch`] recover who
//! signed.

pub mod ethereum;
pub mod native;
mod verify;

use std::sync::Arc;

use shroud_crypto::{Address, keccak256};

pub use ethereum::EthereumTransaction;
pub use native::SignedNative;
pub use verify::{Kind, VerifiedTransaction, VerifyError, verify, verify_batch};

use crate::{AssetId, CodecError, TransactionHash};

/// The most bytes of a transaction that deploys nothing, as in most Ethereum nodes.
pub const MAX_TRANSACTION_BYTES: usize = 128 * 1024;
/// The most bytes of a deployment: code of this size compiles in about 20 ms.
pub const MAX_DEPLOY_BYTES: usize = 1024 * 1024;
/// The most legs of a multi-transfer.
pub const MAX_LEGS: usize = 16;

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Moves an amount. The receiver's code, if it has any, does not run.
    Transfer {
        /// To whom.
        to: Address,
        /// Of what.
        asset: AssetId,
        /// How much.
        amount: u128,
    },
    /// Moves several amounts, all or none.
    MultiTransfer {
        /// 1 to [`MAX_LEGS`] movements.
        legs: Vec<Leg>,
    },
    /// Makes a contract at [`Address::create`]`(sender, nonce)`.
    Deploy {
        /// WebAssembly.
        code: Vec<u8>,
        /// What `shroud_init` is given.
        input: Vec<u8>,
    },
    /// Calls a contract, with an amount. From an Ethereum transaction: a plain transfer of GCC if there is no contract.
    Call {
        /// Which.
        contract: Address,
        /// The asset of the amount.
        asset: AssetId,
        /// How much the contract receives with the call.
        value: u128,
        /// What the contract is given.
        input: Vec<u8>,
    },
}

/// One movement of a multi-transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// To whom.
    pub to: Address,
    /// Of what.
    pub asset: AssetId,
    /// How much.
    pub amount: u128,
}

/// What an access list holds (EIP-2930). It is paid for; it changes nothing here, where all state is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessListSize {
    /// Addresses.
    pub addresses: usize,
    /// Storage keys of all addresses.
    pub keys: usize,
}

/// A decoded transaction of either kind, and its bytes. Its signature is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    bytes: Arc<[u8]>,
    hash: TransactionHash,
    envelope: Envelope,
}

/// The two kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Signed with Ed25519.
    Native(SignedNative),
    /// As Ethereum wallets make them.
    Ethereum(EthereumTransaction),
}

/// Why bytes are not a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No bytes.
    #[error("the transaction is empty")]
    Empty,
    /// Too many bytes.
    #[error("the transaction has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// How many.
        bytes: usize,
        /// The limit for its kind.
        limit: usize,
    },
    /// A native envelope of another version.
    #[error("the native transaction has version {version}; this node knows version 1")]
    Version {
        /// The version.
        version: u8,
    },
    /// Not a native envelope.
    #[error("the native transaction is malformed: {0}")]
    Native(#[from] CodecError),
    /// A multi-transfer without legs.
    #[error("the multi-transfer has no legs")]
    NoLegs,
    /// Not an Ethereum envelope.
    #[error("the Ethereum transaction is malformed: {0}")]
    Rlp(String),
    /// An Ethereum envelope that would encode otherwise.
    #[error("the Ethereum transaction's encoding is not canonical")]
    NotCanonical,
    /// An envelope type that this node does not take.
    #[error(
        "transaction type {tag:#04x} ({name}) is not supported; use legacy with a chain id, 0x01 or 0x02"
    )]
    UnsupportedType {
        /// The type.
        tag: u8,
        /// Its name.
        name: &'static str,
    },
    /// A legacy transaction that would be valid on every chain.
    #[error("the legacy transaction has no chain id (EIP-155)")]
    NoChainId,
    /// An EVM deployment.
    #[error("creating EVM contracts is not supported yet; deploy WebAssembly with a native transaction")]
    EvmCreate,
    /// An amount beyond the ledger's.
    #[error("the value does not fit 128 bits")]
    Value,
    /// The tip exceeds the cap (EIP-1559).
    #[error("max_priority_fee_per_gas is above max_fee_per_gas")]
    TipAboveCap,
}

impl Transaction {
    /// Reads a transaction of either kind: all of `bytes`, canonically encoded.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let limit = |limit| match bytes.len() {
            length if length > limit => Err(DecodeError::TooLarge { bytes: length, limit }),
            _ => Ok(()),
        };
        limit(MAX_DEPLOY_BYTES)?;
        let envelope = match bytes.first() {
            None => return Err(DecodeError::Empty),
            Some(&native::TAG) => {
                let signed = SignedNative::decode(bytes)?;
                if !matches!(signed.body.action, Action::Deploy { .. }) {
                    limit(MAX_TRANSACTION_BYTES)?;
                }
                Envelope::Native(signed)
            }
            Some(_) => {
                limit(MAX_TRANSACTION_BYTES)?;
                Envelope::Ethereum(EthereumTransaction::decode(bytes)?)
            }
        };
        Ok(Self { bytes: bytes.into(), hash: keccak256(bytes), envelope })
    }

    /// The encoding.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// keccak256 of the encoding.
    pub const fn hash(&self) -> TransactionHash {
        self.hash
    }

    /// What was decoded.
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), first in prop_oneof![Just(0x53u8), Just(2), Just(1), 0xc0..=0xffu8]) {
            let mut bytes = bytes;
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            if let Ok(transaction) = Transaction::decode(&bytes) {
                prop_assert_eq!(&**transaction.bytes(), bytes.as_slice());
            }
        }
    }

    #[test]
    fn precise_refusals() {
        assert_eq!(Transaction::decode(&[]), Err(DecodeError::Empty));
        assert_eq!(
            Transaction::decode(&vec![0xc0; MAX_TRANSACTION_BYTES + 1]),
            Err(DecodeError::TooLarge { bytes: MAX_TRANSACTION_BYTES + 1, limit: MAX_TRANSACTION_BYTES })
        );
        assert!(matches!(Transaction::decode(&[3, 0xc0]), Err(DecodeError::UnsupportedType { tag: 3, .. })));
        assert!(matches!(Transaction::decode(&[4, 0xc0]), Err(DecodeError::UnsupportedType { tag: 4, .. })));
        assert!(matches!(Transaction::decode(&[0x7f]), Err(DecodeError::UnsupportedType { tag: 0x7f, .. })));
        assert!(matches!(Transaction::decode(&[0x81]), Err(DecodeError::Rlp(_))));
        assert_eq!(Transaction::decode(&[0x53, 9]), Err(DecodeError::Version { version: 9 }));
    }
}

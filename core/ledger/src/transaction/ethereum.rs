//! Ethereum envelopes: legacy with a chain id (EIP-155), access lists (EIP-2930) and dynamic fees (EIP-1559).

use alloy_consensus::{EthereumTxEnvelope, Signed, Transaction as _, TxEip1559, TxEip4844, TxLegacy};
use alloy_eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{Address as AlloyAddress, TxKind, U256};
use shroud_crypto::secp256k1::{Secp256k1Error, Signature, SigningKey};
use shroud_crypto::{Address, Hash};

use super::{AccessListSize, DecodeError};
use crate::{ChainId, Gas, Nonce};

/// An Ethereum transaction of a supported type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EthereumTransaction {
    /// Its type.
    pub kind: EthereumKind,
    /// For which chain.
    pub chain_id: ChainId,
    /// The sender's nonce.
    pub nonce: Nonce,
    /// The most gas that it may use.
    pub gas_limit: Gas,
    /// The most that a gas may cost; the price itself for types 0 and 1.
    pub max_fee_per_gas: u128,
    /// The most that is paid above the chain's price; the price itself for types 0 and 1.
    pub max_priority_fee_per_gas: u128,
    /// To whom.
    pub to: Address,
    /// How much GCC, in base units.
    pub value: u128,
    /// What the contract at `to` is given.
    pub input: Vec<u8>,
    /// Addresses and their storage keys (EIP-2930).
    pub access_list: Vec<(Address, Vec<Hash>)>,
    /// The signature.
    pub signature: Signature,
    /// What it covers.
    pub signing_digest: Hash,
}

/// The supported types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EthereumKind {
    /// Type 0, with EIP-155's chain id.
    Legacy = 0,
    /// Type 1.
    Eip2930 = 1,
    /// Type 2.
    Eip1559 = 2,
}

impl EthereumTransaction {
    /// Reads the EIP-2718 encoding, which must be canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let kind = match bytes.first() {
            None => return Err(DecodeError::Empty),
            Some(1) => EthereumKind::Eip2930,
            Some(2) => EthereumKind::Eip1559,
            Some(&tag @ 0..=0x7f) => return Err(DecodeError::UnsupportedType { tag, name: type_name(tag) }),
            Some(_) => EthereumKind::Legacy,
        };
        let envelope = EthereumTxEnvelope::<TxEip4844>::decode_2718_exact(bytes)
            .map_err(|error| DecodeError::Rlp(error.to_string()))?;
        if envelope.encoded_2718() != bytes {
            return Err(DecodeError::NotCanonical);
        }
        let chain_id = ChainId(envelope.chain_id().ok_or(DecodeError::NoChainId)?);
        let TxKind::Call(to) = envelope.kind() else {
            return Err(DecodeError::EvmCreate);
        };
        let max_fee_per_gas = envelope.max_fee_per_gas();
        let max_priority_fee_per_gas = envelope.max_priority_fee_per_gas().unwrap_or(max_fee_per_gas);
        if max_priority_fee_per_gas > max_fee_per_gas {
            return Err(DecodeError::TipAboveCap);
        }
        let access_list = envelope.access_list().map(|list| list.0.as_slice()).unwrap_or_default();
        let entry = |entry: &alloy_eips::eip2930::AccessListItem| {
            (Address(entry.address.0.0), entry.storage_keys.iter().map(|key| Hash(key.0)).collect())
        };
        let signature = envelope.signature();
        Ok(Self {
            kind,
            chain_id,
            nonce: Nonce(envelope.nonce()),
            gas_limit: Gas(envelope.gas_limit()),
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: Address(to.0.0),
            value: u128::try_from(envelope.value()).map_err(|_| DecodeError::Value)?,
            input: envelope.input().to_vec(),
            access_list: access_list.iter().map(entry).collect(),
            signature: Signature {
                r: signature.r().to_be_bytes(),
                s: signature.s().to_be_bytes(),
                y_odd: signature.v(),
            },
            signing_digest: Hash(envelope.signature_hash().0),
        })
    }

    /// Who signed. A high s is refused (EIP-2).
    pub fn recover(&self) -> Result<Address, Secp256k1Error> {
        shroud_crypto::secp256k1::recover(&self.signing_digest, &self.signature).map(|key| key.address())
    }

    /// What the access list holds.
    pub fn access_list_size(&self) -> AccessListSize {
        let keys = self.access_list.iter().map(|(_, keys)| keys.len()).sum();
        AccessListSize { addresses: self.access_list.len(), keys }
    }
}

fn type_name(tag: u8) -> &'static str {
    match tag {
        3 => "blobs, EIP-4844",
        4 => "delegation, EIP-7702",
        _ => "unknown",
    }
}

/// What a wallet signs: an Ethereum transaction without access list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EthereumRequest {
    /// For which chain.
    pub chain_id: ChainId,
    /// The sender's nonce.
    pub nonce: Nonce,
    /// The most gas that it may use.
    pub gas_limit: Gas,
    /// What a gas may cost.
    pub fees: EthereumFees,
    /// To whom.
    pub to: Address,
    /// How much GCC, in base units.
    pub value: u128,
    /// What the contract at `to` is given.
    pub input: Vec<u8>,
}

/// What a gas may cost; says which type the transaction has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EthereumFees {
    /// Type 0: this price.
    Legacy {
        /// The price.
        gas_price: u128,
    },
    /// Type 2.
    Dynamic {
        /// The most that a gas may cost.
        max_fee_per_gas: u128,
        /// The most that is paid above the chain's price.
        max_priority_fee_per_gas: u128,
    },
}

impl EthereumRequest {
    /// Signs, and gives the encoding that `eth_sendRawTransaction` takes.
    pub fn sign(self, key: &SigningKey) -> Result<Vec<u8>, Secp256k1Error> {
        let to = TxKind::Call(AlloyAddress::from(self.to.0));
        let (nonce, gas_limit, input) = (self.nonce.0, self.gas_limit.0, self.input.into());
        let (chain_id, value) = (self.chain_id.0, U256::from(self.value));
        match self.fees {
            EthereumFees::Legacy { gas_price } => {
                let chain_id = Some(chain_id);
                seal(TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input }, key)
            }
            EthereumFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => seal(
                TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list: Default::default(),
                    input,
                },
                key,
            ),
        }
    }
}

fn seal<T>(transaction: T, key: &SigningKey) -> Result<Vec<u8>, Secp256k1Error>
where
    T: alloy_consensus::SignableTransaction<alloy_primitives::Signature>,
    EthereumTxEnvelope<TxEip4844>: From<Signed<T>>,
{
    let signature = key.sign_recoverable(&Hash(transaction.signature_hash().0))?;
    let (r, s) = (U256::from_be_bytes(signature.r), U256::from_be_bytes(signature.s));
    let signed = transaction.into_signed(alloy_primitives::Signature::new(r, s, signature.y_odd));
    Ok(EthereumTxEnvelope::<TxEip4844>::from(signed).encoded_2718())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// EIP-155's example.
    const EIP155: &str = "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83";

    fn request(fees: EthereumFees) -> EthereumRequest {
        EthereumRequest {
            chain_id: ChainId(1),
            nonce: Nonce(9),
            gas_limit: Gas(21_000),
            fees,
            to: Address([0x35; 20]),
            value: 1_000_000_000_000_000_000,
            input: vec![],
        }
    }

    #[test]
    fn eip155_example() {
        let bytes = hex::decode(EIP155).unwrap();
        let decoded = EthereumTransaction::decode(&bytes).unwrap();
        assert_eq!(decoded.chain_id, ChainId(1));
        assert_eq!(decoded.recover().unwrap().to_string(), "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F");
        let key = SigningKey::from_secret(&[0x46; 32]).unwrap();
        let made = request(EthereumFees::Legacy { gas_price: 20_000_000_000 }).sign(&key).unwrap();
        assert_eq!(made, bytes);
    }

    #[test]
    fn unsupported_forms_are_named() {
        let key = SigningKey::from_secret(&[0x46; 32]).unwrap();
        let tip = EthereumFees::Dynamic { max_fee_per_gas: 1, max_priority_fee_per_gas: 2 };
        let bytes = request(tip).sign(&key).unwrap();
        assert_eq!(EthereumTransaction::decode(&bytes), Err(DecodeError::TipAboveCap));

        let legacy = |chain_id, to, value| {
            let transaction = TxLegacy {
                chain_id,
                nonce: 0,
                gas_price: 1,
                gas_limit: 21_000,
                to,
                value,
                input: Default::default(),
            };
            seal(transaction, &key).unwrap()
        };
        let to = TxKind::Call(AlloyAddress::ZERO);
        assert_eq!(EthereumTransaction::decode(&legacy(None, to, U256::ZERO)), Err(DecodeError::NoChainId));
        assert_eq!(
            EthereumTransaction::decode(&legacy(Some(1), TxKind::Create, U256::ZERO)),
            Err(DecodeError::EvmCreate)
        );
        assert_eq!(EthereumTransaction::decode(&legacy(Some(1), to, U256::MAX)), Err(DecodeError::Value));
        let mut trailing = hex::decode(EIP155).unwrap();
        trailing.push(0);
        assert!(matches!(EthereumTransaction::decode(&trailing), Err(DecodeError::Rlp(_))));
    }

    proptest! {
        #[test]
        fn round_trip_and_any_flip(input in proptest::collection::vec(any::<u8>(), 0..70), value: u128, nonce: u64, at: usize, bit in 0..8u32) {
            let key = SigningKey::from_secret(&[0x46; 32]).unwrap();
            let fees = EthereumFees::Dynamic { max_fee_per_gas: 7, max_priority_fee_per_gas: 3 };
            let mut made = request(fees);
            (made.input, made.value, made.nonce) = (input.clone(), value, Nonce(nonce));
            let mut bytes = made.sign(&key).unwrap();
            let decoded = EthereumTransaction::decode(&bytes).unwrap();
            prop_assert_eq!(decoded.recover(), Ok(key.verifying_key().address()));
            prop_assert_eq!((decoded.input, decoded.value, decoded.nonce), (input, value, Nonce(nonce)));
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(other) = EthereumTransaction::decode(&bytes) {
                prop_assert_ne!(other.recover(), Ok(key.verifying_key().address()));
            }
        }
    }
}

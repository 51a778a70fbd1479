//! The native envelope: a tag, a version, the body, the Ed25519 public key and the signature.

use shroud_crypto::ed25519::{Signature, SigningKey, VerifyingKey};
use shroud_crypto::{Address, Hash, keccak256_all};

use super::{Action, DecodeError, Leg, MAX_DEPLOY_BYTES, MAX_LEGS};
use crate::codec::{Reader, Writer as _};
use crate::{AssetId, ChainId, CodecError, Gas, Nonce};

/// The first byte of a native envelope: "S". No Ethereum envelope begins with it.
pub const TAG: u8 = 0x53;
/// The version that this crate writes and reads.
pub const VERSION: u8 = 1;
/// What is signed begins with this, so that a signature means nothing elsewhere.
const DOMAIN: &[u8] = b"shroud transaction v1";

const TRANSFER: u8 = 0;
const MULTI_TRANSFER: u8 = 1;
const DEPLOY: u8 = 2;
const CALL: u8 = 3;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeBody {
    /// For which chain.
    pub chain_id: ChainId,
    /// The sender's nonce.
    pub nonce: Nonce,
    /// The most gas that it may use.
    pub gas_limit: Gas,
    /// What each gas is paid with, in base units of GCC: at least the chain's price.
    pub gas_price: u128,
    /// What it does.
    pub action: Action,
}

/// A body, who is said to have signed it, and the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNative {
    /// What is signed.
    pub body: NativeBody,
    /// The signer's key.
    pub key: VerifyingKey,
    /// Over [`NativeBody::signing_digest`].
    pub signature: Signature,
}

impl NativeBody {
    /// What the signature covers: keccak256 of the domain and the body's encoding.
    pub fn signing_digest(&self) -> Hash {
        keccak256_all(&[DOMAIN, &self.encode()])
    }

    /// Signs.
    pub fn sign(self, key: &SigningKey) -> SignedNative {
        let signature = key.sign(self.signing_digest().as_bytes());
        SignedNative { body: self, key: *key.verifying_key(), signature }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_u64(self.chain_id.0);
        out.put_u64(self.nonce.0);
        out.put_u64(self.gas_limit.0);
        out.put_u128(self.gas_price);
        match &self.action {
            Action::Transfer { to, asset, amount } => {
                out.put_u8(TRANSFER);
                write_leg(out, &Leg { to: *to, asset: *asset, amount: *amount });
            }
            Action::MultiTransfer { legs } => {
                out.put_u8(MULTI_TRANSFER);
                out.put_count(legs.len());
                legs.iter().for_each(|leg| write_leg(out, leg));
            }
            Action::Deploy { code, input } => {
                out.put_u8(DEPLOY);
                out.put_bytes(code);
                out.put_bytes(input);
            }
            Action::Call { contract, asset, value, input } => {
                out.put_u8(CALL);
                write_leg(out, &Leg { to: *contract, asset: *asset, amount: *value });
                out.put_bytes(input);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            chain_id: ChainId(reader.u64("the chain id")?),
            nonce: Nonce(reader.u64("the nonce")?),
            gas_limit: Gas(reader.u64("the gas limit")?),
            gas_price: reader.u128("the gas price")?,
            action: read_action(reader)?,
        })
    }
}

impl SignedNative {
    /// Who signed, if the signature holds.
    pub fn sender(&self) -> Address {
        Address::from_ed25519(&self.key)
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.put_u8(TAG);
        out.put_u8(VERSION);
        self.body.write(&mut out);
        out.put(&self.key.0);
        out.put(&self.signature.0);
        out
    }

    /// Reads the canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8("the tag")? {
            TAG => {}
            tag => return Err(CodecError::UnknownTag { what: "a native transaction", tag }.into()),
        }
        match reader.u8("the version")? {
            VERSION => {}
            version => return Err(DecodeError::Version { version }),
        }
        let body = NativeBody::read(&mut reader)?;
        let key = VerifyingKey(reader.array("the public key")?);
        let signature = Signature(reader.array("the signature")?);
        reader.end("a native transaction")?;
        Ok(Self { body, key, signature })
    }
}

fn write_leg(out: &mut Vec<u8>, leg: &Leg) {
    out.put(&leg.to.0);
    out.put_u32(leg.asset.0);
    out.put_u128(leg.amount);
}

fn read_leg(reader: &mut Reader<'_>) -> Result<Leg, CodecError> {
    Ok(Leg {
        to: reader.address("the receiver")?,
        asset: AssetId(reader.u32("the asset")?),
        amount: reader.u128("the amount")?,
    })
}

fn read_action(reader: &mut Reader<'_>) -> Result<Action, DecodeError> {
    Ok(match reader.u8("the action")? {
        TRANSFER => {
            let Leg { to, asset, amount } = read_leg(reader)?;
            Action::Transfer { to, asset, amount }
        }
        MULTI_TRANSFER => {
            let count = reader.count(MAX_LEGS, "the number of legs")?;
            if count == 0 {
                return Err(DecodeError::NoLegs);
            }
            let legs = (0..count).map(|_| read_leg(reader)).collect::<Result<_, _>>()?;
            Action::MultiTransfer { legs }
        }
        DEPLOY => Action::Deploy {
            code: reader.bytes(MAX_DEPLOY_BYTES, "the code")?.to_vec(),
            input: reader.bytes(MAX_DEPLOY_BYTES, "the input")?.to_vec(),
        },
        CALL => {
            let Leg { to: contract, asset, amount: value } = read_leg(reader)?;
            let input = reader.bytes(MAX_DEPLOY_BYTES, "the input")?.to_vec();
            Action::Call { contract, asset, value, input }
        }
        tag => return Err(CodecError::UnknownTag { what: "the action", tag }.into()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn action() -> impl Strategy<Value = Action> {
        let leg = (any::<[u8; 20]>(), any::<u32>(), any::<u128>()).prop_map(|(to, asset, amount)| Leg {
            to: Address(to),
            asset: AssetId(asset),
            amount,
        });
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
        prop_oneof![
            leg.clone().prop_map(|Leg { to, asset, amount }| Action::Transfer { to, asset, amount }),
            proptest::collection::vec(leg.clone(), 1..=MAX_LEGS)
                .prop_map(|legs| Action::MultiTransfer { legs }),
            (bytes(), bytes()).prop_map(|(code, input)| Action::Deploy { code, input }),
            (leg, bytes()).prop_map(|(Leg { to, asset, amount }, input)| {
                Action::Call { contract: to, asset, value: amount, input }
            }),
        ]
    }

    proptest! {
        #[test]
        fn round_trip_and_no_prefix(action in action(), numbers: (u64, u64, u64, u128)) {
            let (chain_id, nonce, gas_limit, gas_price) = numbers;
            let (chain_id, nonce, gas_limit) = (ChainId(chain_id), Nonce(nonce), Gas(gas_limit));
            let body = NativeBody { chain_id, nonce, gas_limit, gas_price, action };
            let signed = body.sign(&SigningKey::from_seed(&[5; 32]));
            let bytes = signed.encode();
            prop_assert_eq!(SignedNative::decode(&bytes), Ok(signed));
            for end in 0..bytes.len() {
                prop_assert!(SignedNative::decode(&bytes[..end]).is_err());
            }
        }

        #[test]
        fn accepted_bytes_are_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..250), action in 0..5u8) {
            let mut bytes = bytes;
            bytes.splice(0..bytes.len().min(2), [TAG, VERSION]);
            if let Some(byte) = bytes.get_mut(42) {
                *byte = action;
            }
            if let Ok(signed) = SignedNative::decode(&bytes) {
                prop_assert_eq!(signed.encode(), bytes);
            }
        }
    }
}

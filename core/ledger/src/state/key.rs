//! The keys of the state.

use shroud_crypto::{Address, Hash};

use crate::codec::{Reader, Writer as _};
use crate::{AssetId, CodecError};

/// Bytes that a contract may use as a storage key. The contract engine enforces the same limit.
pub const MAX_STORAGE_KEY_BYTES: usize = shroud_vm::limits::MAX_STORAGE_KEY_BYTES;

const PARAMETERS: u8 = 0;
const ACCOUNT: u8 = 1;
const STORAGE: u8 = 2;
const CODE: u8 = 3;
const ASSET: u8 = 4;

/// What a value of the state belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StateKey {
    /// The chain's parameters.
    Parameters,
    /// An account.
    Account(Address),
    /// An entry of a contract's storage.
    Storage(Address, Vec<u8>),
    /// A contract's code, by its hash.
    Code(Hash),
    /// An asset.
    Asset(AssetId),
}

impl StateKey {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Parameters => vec![PARAMETERS],
            Self::Account(address) => Self::encode_account(address).to_vec(),
            Self::Storage(address, key) => Self::encode_storage(address, key),
            Self::Code(hash) => tagged(CODE, &hash.0, &[]),
            // Big endian, so that assets are stored in the order of their numbers.
            Self::Asset(id) => tagged(ASSET, &id.0.to_be_bytes(), &[]),
        }
    }

    /// An account's key, without allocation.
    pub(crate) fn encode_account(address: &Address) -> [u8; 21] {
        let mut key = [ACCOUNT; 21];
        key.iter_mut().skip(1).zip(address.0).for_each(|(out, byte)| *out = byte);
        key
    }

    /// A storage entry's key.
    pub(crate) fn encode_storage(address: &Address, key: &[u8]) -> Vec<u8> {
        tagged(STORAGE, &address.0, key)
    }

    /// Reads the canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let key = match reader.u8("a state key")? {
            PARAMETERS => Self::Parameters,
            ACCOUNT => Self::Account(reader.address("an account's key")?),
            STORAGE => {
                let address = reader.address("a storage key")?;
                let length = reader.remaining();
                if length > MAX_STORAGE_KEY_BYTES {
                    let limit = MAX_STORAGE_KEY_BYTES;
                    return Err(CodecError::TooLong { what: "a storage key", length, limit });
                }
                Self::Storage(address, reader.take(length, "a storage key")?.to_vec())
            }
            CODE => Self::Code(reader.hash("a code's key")?),
            ASSET => Self::Asset(AssetId(u32::from_be_bytes(reader.array("an asset's key")?))),
            tag => return Err(CodecError::UnknownTag { what: "a state key", tag }),
        };
        reader.end("a state key")?;
        Ok(key)
    }
}

fn tagged(tag: u8, first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + first.len() + second.len());
    key.put_u8(tag);
    key.put(first);
    key.put(second);
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decodes_what_it_encodes_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 0..100), tag in 0..6u8) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = tag;
            }
            if let Ok(key) = StateKey::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }

        #[test]
        fn round_trip(address: [u8; 20], key in proptest::collection::vec(any::<u8>(), 0..=MAX_STORAGE_KEY_BYTES), id: u32) {
            for key in [
                StateKey::Parameters,
                StateKey::Account(Address(address)),
                StateKey::Storage(Address(address), key),
                StateKey::Code(Hash([9; 32])),
                StateKey::Asset(AssetId(id)),
            ] {
                prop_assert_eq!(StateKey::decode(&key.encode()), Ok(key));
            }
        }
    }
}

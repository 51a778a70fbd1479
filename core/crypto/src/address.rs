//! The 20-byte account address, how keys give one, and its EIP-55 text form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{ed25519, keccak256, keccak256_all, secp256k1};

/// An account's address. Shown and serialised as EIP-55 (checksummed) hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(pub [u8; 20]);

/// Stands before an Ed25519 public key when its address is taken, so that no key of one kind is one of the other.
const ED25519_PREFIX: u8 = 0xED;

impl Address {
    /// All bytes zero.
    pub const ZERO: Self = Self([0; 20]);

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The address of an Ed25519 key: the last 20 bytes of keccak256(0xED || public key).
    pub fn from_ed25519(key: &ed25519::VerifyingKey) -> Self {
        Self::tail(keccak256_all(&[&[ED25519_PREFIX], &key.0]))
    }

    /// The address of a secp256k1 key as Ethereum derives it: the last 20 bytes of keccak256(x || y).
    pub fn from_secp256k1(key: &secp256k1::VerifyingKey) -> Self {
        Self::tail(keccak256(&key.to_xy()))
    }

    /// The address of the contract that `creator` deploys with `nonce`: the last 20 bytes of
    /// keccak256(rlp([creator, nonce])), as Ethereum's CREATE.
    pub fn create(creator: &Self, nonce: u64) -> Self {
        let digits = nonce.to_be_bytes();
        let number = digits.get(nonce.leading_zeros() as usize / 8..).unwrap_or_default();
        // RLP: a number below 0x80 is its own encoding, zero is the empty string.
        let short = nonce != 0 && nonce < 0x80;
        let number_len = number.len() as u8 + u8::from(!short);
        let mut rlp = Vec::with_capacity(31);
        rlp.push(0xc0 + 21 + number_len);
        rlp.push(0x80 + 20);
        rlp.extend_from_slice(&creator.0);
        if !short {
            rlp.push(0x80 + number.len() as u8);
        }
        rlp.extend_from_slice(number);
        Self::tail(keccak256(&rlp))
    }

    fn tail(hash: crate::Hash) -> Self {
        let mut address = [0; 20];
        if let Some(tail) = hash.0.last_chunk::<20>() {
            address = *tail;
        }
        Self(address)
    }

    /// The 40 hex digits with EIP-55 capitals.
    fn digits(&self) -> [u8; 40] {
        let mut digits = [0; 40];
        // Cannot fail: 20 bytes are 40 digits.
        let _ = hex::encode_to_slice(self.0, &mut digits);
        let hash = keccak256(&digits);
        let nibbles = hash.0.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
        for (digit, nibble) in digits.iter_mut().zip(nibbles) {
            if nibble >= 8 {
                digit.make_ascii_uppercase();
            }
        }
        digits
    }
}

impl AsRef<[u8]> for Address {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 20]> for Address {
    fn from(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not `0x` and 40 hex digits.
    #[error("an address is 0x and 40 hex digits")]
    Shape,
    /// Mixed case that is not the EIP-55 checksum: a digit is mistyped.
    #[error("the address's capital letters do not match its EIP-55 checksum: a digit is mistyped")]
    Checksum,
}

impl FromStr for Address {
    type Err = AddressError;

    /// Accepts all lower case, all upper case, or the right EIP-55 mix.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let digits = text.strip_prefix("0x").ok_or(AddressError::Shape)?;
        let mut bytes = [0; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| AddressError::Shape)?;
        let address = Self(bytes);
        let lower = digits.bytes().any(|digit| digit.is_ascii_lowercase());
        let upper = digits.bytes().any(|digit| digit.is_ascii_uppercase());
        if lower && upper && digits.as_bytes() != address.digits() {
            return Err(AddressError::Checksum);
        }
        Ok(address)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of EIP-55.
    const EIP55: [&str; 8] = [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn eip55_vectors() {
        for text in EIP55 {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
            assert!(text.to_lowercase().parse::<Address>().is_ok());
        }
        assert_eq!(
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed".parse::<Address>(),
            Err(AddressError::Checksum)
        );
        assert_eq!("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse::<Address>(), Err(AddressError::Shape));
        assert_eq!("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeA".parse::<Address>(), Err(AddressError::Shape));
    }

    #[test]
    fn create_vectors() {
        // From go-ethereum's crypto tests: the first contracts of the key with this address.
        let creator: Address = "0x970e8128ab834e8eac17ab8e3812f010678cf791".parse().unwrap();
        let expected = [
            "0x333c3310824b7c685133f2bedb2ca4b8b4df633d",
            "0x8bda78331c916a08481428e4b07c96d3e916d165",
            "0xc9ddedf451bc62ce88bf9292afb13df35b670699",
        ];
        for (nonce, text) in expected.iter().enumerate() {
            assert_eq!(Address::create(&creator, nonce as u64), text.parse().unwrap());
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(bytes: [u8; 20]) {
            let address = Address(bytes);
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,50}") {
            let _ = text.parse::<Address>();
        }

        #[test]
        fn create_differs_by_nonce(nonce: u64) {
            let creator = Address([7; 20]);
            prop_assert_ne!(Address::create(&creator, nonce), Address::create(&creator, nonce.wrapping_add(1)));
        }
    }
}

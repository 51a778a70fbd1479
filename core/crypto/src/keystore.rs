//! A secret key in a file: Argon2id over the pass phrase, XChaCha20-Poly1305 over the key.
//!
//! The file is JSON. Its public fields are authenticated together with the box, so that an altered address or cost does
//! not open. Costs have limits: a hostile file cannot make its reader allocate or compute without end.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::aead::{self, NONCE_BYTES};
use crate::kdf::{self, Argon2idCost, KdfError, SALT_BYTES};
use crate::{Address, ct_eq, ed25519, secp256k1};

/// The version that this crate writes and reads.
pub const VERSION: u32 = 1;
/// The largest file that is read: a real one has under 1 KiB.
pub const MAX_FILE_BYTES: usize = 16 * 1024;
/// Bytes of a secret, of either kind.
const SECRET_BYTES: usize = 32;

/// What kind of key a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Ed25519: native transactions.
    Ed25519,
    /// secp256k1: Ethereum transactions.
    Secp256k1,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "ed25519",
            Self::Secp256k1 => "secp256k1",
        })
    }
}

/// A secret key of either kind.
#[derive(Debug)]
pub enum Secret {
    /// Ed25519: signs native transactions.
    Ed25519(Box<ed25519::SigningKey>),
    /// secp256k1: signs Ethereum transactions.
    Secp256k1(secp256k1::SigningKey),
}

impl Secret {
    /// Reads 32 secret bytes: an RFC 8032 seed, or a secp256k1 number.
    pub fn from_bytes(kind: KeyKind, bytes: &[u8; 32]) -> Result<Self, KeystoreError> {
        match kind {
            KeyKind::Ed25519 => Ok(Self::Ed25519(Box::new(ed25519::SigningKey::from_seed(bytes)))),
            KeyKind::Secp256k1 => {
                secp256k1::SigningKey::from_secret(bytes).map(Self::Secp256k1).map_err(KeystoreError::Secret)
            }
        }
    }

    /// The 32 secret bytes, to be sealed or shown on explicit request.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        match self {
            Self::Ed25519(key) => key.to_seed(),
            Self::Secp256k1(key) => key.to_secret(),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> KeyKind {
        match self {
            Self::Ed25519(_) => KeyKind::Ed25519,
            Self::Secp256k1(_) => KeyKind::Secp256k1,
        }
    }

    /// The account that it controls.
    pub fn address(&self) -> Address {
        match self {
            Self::Ed25519(key) => Address::from_ed25519(key.verifying_key()),
            Self::Secp256k1(key) => key.verifying_key().address(),
        }
    }
}

/// A keystore file: everything but the pass phrase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keystore {
    version: u32,
    address: Address,
    key: KeyKind,
    argon2id: Argon2idCost,
    salt: Bytes<SALT_BYTES>,
    nonce: Bytes<NONCE_BYTES>,
    sealed: Bytes<{ SECRET_BYTES + aead::TAG_BYTES }>,
}

/// Fresh entropy for one sealing. Never use it twice.
#[derive(Clone, Copy, Debug)]
pub struct SealEntropy {
    /// For Argon2id.
    pub salt: [u8; SALT_BYTES],
    /// For XChaCha20-Poly1305.
    pub nonce: [u8; NONCE_BYTES],
}

impl Keystore {
    /// Seals a key. Takes as long as `cost` says: call it where blocking is allowed.
    pub fn seal(
        secret: &Secret,
        pass_phrase: &[u8],
        cost: Argon2idCost,
        entropy: &SealEntropy,
    ) -> Result<Self, KeystoreError> {
        let mut file = Self {
            version: VERSION,
            address: secret.address(),
            key: secret.kind(),
            argon2id: cost,
            salt: Bytes(entropy.salt),
            nonce: Bytes(entropy.nonce),
            sealed: Bytes([0; SECRET_BYTES + aead::TAG_BYTES]),
        };
        let key = kdf::argon2id(pass_phrase, &entropy.salt, &cost)?;
        let sealed = aead::seal(&key, &entropy.nonce, &file.header(), secret.to_bytes().as_slice())
            .map_err(|_| KeystoreError::WrongPassPhrase)?;
        file.sealed = Bytes(sealed.try_into().map_err(|_| KeystoreError::WrongPassPhrase)?);
        Ok(file)
    }

    /// Opens the file. Takes as long as its cost says: call it where blocking is allowed.
    pub fn open(&self, pass_phrase: &[u8]) -> Result<Secret, KeystoreError> {
        let key = kdf::argon2id(pass_phrase, &self.salt.0, &self.argon2id)?;
        let bytes = aead::open(&key, &self.nonce.0, &self.header(), &self.sealed.0)
            .map_err(|_| KeystoreError::WrongPassPhrase)?;
        let mut array = Zeroizing::new([0; SECRET_BYTES]);
        if bytes.len() != array.len() {
            return Err(KeystoreError::WrongPassPhrase);
        }
        array.copy_from_slice(&bytes);
        let secret = Secret::from_bytes(self.key, &array)?;
        if !ct_eq(&secret.address().0, &self.address.0) {
            return Err(KeystoreError::Address { stated: self.address, actual: secret.address() });
        }
        Ok(secret)
    }

    /// Reads a file. Costs above the limits and unknown versions are refused here, before any work is done.
    pub fn from_json(text: &[u8]) -> Result<Self, KeystoreError> {
        if text.len() > MAX_FILE_BYTES {
            return Err(KeystoreError::TooLarge { bytes: text.len() });
        }
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } =
            serde_json::from_slice(text).map_err(|error| KeystoreError::Json(error.to_string()))?;
        if version != VERSION {
            return Err(KeystoreError::Version { version });
        }
        let file: Self =
            serde_json::from_slice(text).map_err(|error| KeystoreError::Json(error.to_string()))?;
        file.argon2id.check()?;
        Ok(file)
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        // Cannot fail: no map keys, no floats, no I/O.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The account of the key inside.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The kind of the key inside.
    pub const fn kind(&self) -> KeyKind {
        self.key
    }

    /// What is authenticated with the box.
    fn header(&self) -> Vec<u8> {
        let mut header = b"shroud keystore".to_vec();
        header.extend_from_slice(&self.version.to_le_bytes());
        header.push(match self.key {
            KeyKind::Ed25519 => 0,
            KeyKind::Secp256k1 => 1,
        });
        header.extend_from_slice(&self.address.0);
        for number in [self.argon2id.memory_kib, self.argon2id.passes, self.argon2id.lanes] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&self.salt.0);
        header
    }
}

/// Why a keystore cannot be made, read or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// Larger than any keystore.
    #[error("the keystore has {bytes} bytes; at most {MAX_FILE_BYTES} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not the JSON of a keystore.
    #[error("the keystore's JSON is not valid: {0}")]
    Json(String),
    /// Written by another version.
    #[error("the keystore has version {version}; this program reads version {VERSION}")]
    Version {
        /// The version stated.
        version: u32,
    },
    /// The key derivation was refused.
    #[error(transparent)]
    Kdf(#[from] KdfError),
    /// The box does not open.
    #[error("the pass phrase is wrong, or the keystore was altered")]
    WrongPassPhrase,
    /// The secret inside is not one.
    #[error("the secret in the keystore is not valid: {0}")]
    Secret(secp256k1::Secp256k1Error),
    /// The key inside belongs to another account.
    #[error("the keystore states address {stated}, but its key belongs to {actual}")]
    Address {
        /// What the file says.
        stated: Address,
        /// What the key says.
        actual: Address,
    },
}

/// Bytes as lower-case hex without prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bytes<const N: usize>([u8; N]);

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(text.as_bytes(), &mut bytes).map_err(|_| {
            serde::de::Error::custom(format_args!("expected {N} bytes as {} hex digits", 2 * N))
        })?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENTROPY: SealEntropy = SealEntropy { salt: [1; SALT_BYTES], nonce: [2; NONCE_BYTES] };

    fn sealed(kind: KeyKind) -> Keystore {
        let secret = Secret::from_bytes(kind, &[0x46; 32]).unwrap();
        Keystore::seal(&secret, b"correct horse", Argon2idCost::MINIMAL, &ENTROPY).unwrap()
    }

    #[test]
    fn round_trip_of_both_kinds() {
        for kind in [KeyKind::Ed25519, KeyKind::Secp256k1] {
            let file = Keystore::from_json(sealed(kind).to_json().as_bytes()).unwrap();
            assert_eq!(file, sealed(kind));
            let secret = file.open(b"correct horse").unwrap();
            assert_eq!((secret.kind(), secret.address()), (kind, file.address()));
            assert_eq!(*secret.to_bytes(), [0x46; 32]);
            assert_eq!(file.open(b"battery staple").unwrap_err(), KeystoreError::WrongPassPhrase);
            assert!(!file.to_json().contains("4646"));
        }
    }

    #[test]
    fn altered_public_fields_do_not_open() {
        let text = sealed(KeyKind::Secp256k1).to_json();
        let altered = [
            text.replace("secp256k1", "ed25519"),
            text.replace("\"passes\": 1", "\"passes\": 2"),
            text.replace("0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F", &Address([3; 20]).to_string()),
        ];
        for text in altered {
            let file = Keystore::from_json(text.as_bytes()).unwrap();
            assert_eq!(file.open(b"correct horse").unwrap_err(), KeystoreError::WrongPassPhrase);
        }
    }

    #[test]
    fn hostile_files_are_refused_before_work() {
        let text = sealed(KeyKind::Ed25519).to_json();
        let refuse = |text: &str| Keystore::from_json(text.as_bytes()).unwrap_err();
        assert!(matches!(
            refuse(&text.replace("\"memory_kib\": 8", "\"memory_kib\": 4294967295")),
            KeystoreError::Kdf(KdfError::TooMuch { .. })
        ));
        assert_eq!(
            refuse(&text.replace("\"version\": 1", "\"version\": 7")),
            KeystoreError::Version { version: 7 }
        );
        assert!(matches!(refuse(&text.replace("salt", "pepper")), KeystoreError::Json(_)));
        assert!(matches!(refuse(&text.replace("0101", "01")), KeystoreError::Json(_)));
        assert!(matches!(refuse(&" ".repeat(MAX_FILE_BYTES + 1)), KeystoreError::TooLarge { .. }));
        assert!(matches!(refuse(""), KeystoreError::Json(_)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_altered_byte_is_refused_or_harmless(at: usize, byte: u8) {
            let original = sealed(KeyKind::Ed25519);
            let mut text = original.to_json().into_bytes();
            let at = at % text.len();
            text[at] = byte;
            if let Ok(file) = Keystore::from_json(&text) {
                // A cost that still passes the limits may be slow; it is covered above.
                if file.argon2id == original.argon2id && let Ok(secret) = file.open(b"correct horse") {
                    prop_assert_eq!(secret.address(), original.address());
                }
            }
        }
    }
}

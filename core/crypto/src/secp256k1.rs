//! ECDSA over secp256k1 with public key recovery, as Ethereum signs. Signatures with a high s are refused (EIP-2).

use std::fmt;

use ::secp256k1 as library;
use library::ecdsa::{RecoverableSignature, RecoveryId};

use crate::{Address, Hash};

/// Half of the group order, big endian: the largest s that is not malleable.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d,
    0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// Why a key or signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Secp256k1Error {
    /// The secret is zero or not below the group order.
    #[error("the secp256k1 secret is not a number between 1 and the group order")]
    Secret,
    /// The bytes are not a point on the curve.
    #[error("the secp256k1 public key is not a point on the curve")]
    PublicKey,
    /// s is above half the group order: a copy of a signature that holds (EIP-2).
    #[error("the signature's s is above half the group order (EIP-2)")]
    HighS,
    /// No key has made this signature.
    #[error("no secp256k1 key can be recovered from the signature")]
    Signature,
}

/// A secret key. Wiped when dropped; `Debug` shows the address only.
pub struct SigningKey {
    secret: zeroize::Zeroizing<[u8; 32]>,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key of a big-endian secret number.
    pub fn from_secret(secret: &[u8; 32]) -> Result<Self, Secp256k1Error> {
        let mut key = library::SecretKey::from_secret_bytes(*secret).map_err(|_| Secp256k1Error::Secret)?;
        let public = VerifyingKey(library::PublicKey::from_secret_key(&key));
        key.non_secure_erase();
        Ok(Self { secret: zeroize::Zeroizing::new(*secret), public })
    }

    /// The secret number, to be sealed or shown on explicit request. The copy is wiped when dropped.
    pub fn to_secret(&self) -> zeroize::Zeroizing<[u8; 32]> {
        self.secret.clone()
    }

    /// The public half.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs a digest (deterministic, RFC 6979); s is low.
    pub fn sign_recoverable(&self, digest: &Hash) -> Result<Signature, Secp256k1Error> {
        let mut key =
            library::SecretKey::from_secret_bytes(*self.secret).map_err(|_| Secp256k1Error::Secret)?;
        let message = library::Message::from_digest(digest.0);
        let made = RecoverableSignature::sign_ecdsa_recoverable(message, &key);
        key.non_secure_erase();
        let (id, compact) = made.serialize_compact();
        let (r, s) = halves(&compact);
        Ok(Signature { r, s, y_odd: id.to_u8() & 1 == 1 })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("address", &self.public.address()).finish_non_exhaustive()
    }
}

/// A public key: a point on the curve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VerifyingKey(library::PublicKey);

impl VerifyingKey {
    /// Reads a SEC1 encoding, compressed (33 bytes) or not (65 bytes).
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, Secp256k1Error> {
        library::PublicKey::from_slice(bytes).map(Self).map_err(|_| Secp256k1Error::PublicKey)
    }

    /// The 33-byte SEC1 encoding.
    pub fn to_compressed(&self) -> [u8; 33] {
        self.0.serialize()
    }

    /// x and y, big endian.
    pub fn to_xy(&self) -> [u8; 64] {
        let mut xy = [0; 64];
        if let Some(tail) = self.0.serialize_uncompressed().last_chunk::<64>() {
            xy = *tail;
        }
        xy
    }

    /// The account that this key controls.
    pub fn address(&self) -> Address {
        Address::from_secp256k1(self)
    }
}

/// A recoverable signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature {
    /// r, big endian.
    pub r: [u8; 32],
    /// s, big endian.
    pub s: [u8; 32],
    /// Whether R's y is odd: the recovery bit.
    pub y_odd: bool,
}

/// Finds the key that signed the digest. A high s is refused.
pub fn recover(digest: &Hash, signature: &Signature) -> Result<VerifyingKey, Secp256k1Error> {
    if signature.s > HALF_ORDER {
        return Err(Secp256k1Error::HighS);
    }
    let mut compact = [0; 64];
    for (out, byte) in compact.iter_mut().zip(signature.r.iter().chain(&signature.s)) {
        *out = *byte;
    }
    let id = if signature.y_odd { RecoveryId::One } else { RecoveryId::Zero };
    let signature =
        RecoverableSignature::from_compact(&compact, id).map_err(|_| Secp256k1Error::Signature)?;
    signature
        .recover(library::Message::from_digest(digest.0))
        .map(VerifyingKey)
        .map_err(|_| Secp256k1Error::Signature)
}

fn halves(compact: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut r, mut s) = ([0; 32], [0; 32]);
    if let (Some(head), Some(tail)) = (compact.first_chunk::<32>(), compact.last_chunk::<32>()) {
        r = *head;
        s = *tail;
    }
    (r, s)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keccak256;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// EIP-155's example: the transaction's digest, its key, and the signature it prints.
    #[test]
    fn eip155_example() {
        let key = SigningKey::from_secret(&[0x46; 32]).unwrap();
        assert_eq!(
            key.verifying_key().address(),
            "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F".parse().unwrap()
        );
        let digest = Hash(bytes("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"));
        let signature = key.sign_recoverable(&digest).unwrap();
        assert_eq!(signature.r, bytes("28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276"));
        assert_eq!(signature.s, bytes("67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"));
        assert!(!signature.y_odd);
        assert_eq!(recover(&digest, &signature).unwrap(), *key.verifying_key());
    }

    /// go-ethereum's crypto/signature_test.go: message, signature, uncompressed key.
    #[test]
    fn go_ethereum_recover_vector() {
        let digest = Hash(bytes("ce0677bb30baa8cf067c88db9811f4333d131bf8bcf12fe7065d211dce971008"));
        let signature = Signature {
            r: bytes("90f27b8b488db00b00606796d2987f6a5f59ae62ea05effe84fef5b8b0e54998"),
            s: bytes("4a691139ad57a3f0b906637673aa2f63d1f55cb1a69199d4009eea23ceaddc93"),
            y_odd: true,
        };
        let key = recover(&digest, &signature).unwrap();
        assert_eq!(
            hex::encode(key.to_compressed()),
            "02e32df42865e97135acfb65f3bae71bdc86f4d49150ad6a440b6f15878109880a"
        );
        assert_eq!(VerifyingKey::from_sec1(&key.to_compressed()), Ok(key));
    }

    #[test]
    fn high_s_and_bad_secrets_are_refused() {
        let order: [u8; 32] = bytes("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
        let key = SigningKey::from_secret(&[9; 32]).unwrap();
        let digest = keccak256(b"m");
        let mut signature = key.sign_recoverable(&digest).unwrap();
        let mut borrow = 0i16;
        for index in (0..32).rev() {
            let difference = i16::from(order[index]) - i16::from(signature.s[index]) - borrow;
            borrow = i16::from(difference < 0);
            signature.s[index] = difference.rem_euclid(256) as u8;
        }
        signature.y_odd = !signature.y_odd;
        assert_eq!(recover(&digest, &signature), Err(Secp256k1Error::HighS));
        for secret in [[0; 32], order, [0xff; 32]] {
            assert_eq!(SigningKey::from_secret(&secret).unwrap_err(), Secp256k1Error::Secret);
        }
        assert!(!format!("{key:?}").contains("090909"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn sign_then_recover(secret in proptest::array::uniform32(1u8..0xf0), digest: [u8; 32]) {
            let key = SigningKey::from_secret(&secret).unwrap();
            let signature = key.sign_recoverable(&Hash(digest)).unwrap();
            prop_assert!(signature.s <= HALF_ORDER);
            prop_assert_eq!(recover(&Hash(digest), &signature).unwrap(), *key.verifying_key());
        }

        #[test]
        fn hostile_bytes_never_panic(r: [u8; 32], s: [u8; 32], y_odd: bool, digest: [u8; 32]) {
            let _ = recover(&Hash(digest), &Signature { r, s, y_odd });
            let _ = VerifyingKey::from_sec1(&r);
        }
    }
}

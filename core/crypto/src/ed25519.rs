//! Ed25519 by the ZIP-215 rule, alone and in batches.
//!
//! Both ways accept exactly the same signatures, so replicas never disagree about one.

use std::fmt;

use ed25519_consensus as library;
use rand_chacha_03::ChaCha8Rng;
use rand_chacha_03::rand_core::SeedableRng as _;
use zeroize::Zeroize as _;

/// The most items that one batch equation takes. Beyond some hundreds a larger batch gains nothing, and one bad item
/// costs a single check of each of its neighbours.
pub const MAX_BATCH: usize = 256;

/// A secret key. Wiped when dropped; `Debug` shows the public half only.
pub struct SigningKey {
    key: library::SigningKey,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key of an RFC 8032 seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = library::SigningKey::from(*seed);
        let public = VerifyingKey(key.verification_key().to_bytes());
        Self { key, public }
    }

    /// The seed, to be sealed or shown on explicit request. The copy is wiped when dropped.
    pub fn to_seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.key.to_bytes())
    }

    /// The public half.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs a message (deterministic, RFC 8032 5.1.6).
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.key.sign(message).to_bytes())
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A public key as it travels. Not known to be a point until a signature is verified with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyingKey(pub [u8; 32]);

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", crate::Hash(self.0))
    }
}

/// A signature as it travels: R and s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

/// The signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ed25519 signature does not match the key and the message")]
pub struct InvalidSignature;

/// Verifies one signature (ZIP-215).
pub fn verify(key: &VerifyingKey, message: &[u8], signature: &Signature) -> Result<(), InvalidSignature> {
    let key = library::VerificationKey::try_from(key.0).map_err(|_| InvalidSignature)?;
    key.verify(&library::Signature::from(signature.0), message).map_err(|_| InvalidSignature)
}

/// One signature of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchItem<'a> {
    /// Who is said to have signed.
    pub key: VerifyingKey,
    /// What is said to be signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Signature,
}

/// Verifies many signatures at about half the cost of one by one; the answer has one entry per item, in order.
///
/// `seed` is fresh entropy: who could foretell it together with the items could make a batch of bad signatures pass. The
/// items are mixed in, so that a repeated seed still gives other coefficients for other items. When a batch
/// fails, its items are verified singly, which names the bad ones.
pub fn verify_batch(items: &[BatchItem<'_>], seed: &[u8; 32]) -> Vec<bool> {
    let mut verdicts = Vec::with_capacity(items.len());
    for chunk in items.chunks(MAX_BATCH) {
        verify_chunk(chunk, seed, &mut verdicts);
    }
    verdicts
}

fn verify_chunk(items: &[BatchItem<'_>], seed: &[u8; 32], verdicts: &mut Vec<bool>) {
    let single = |item: &BatchItem<'_>| verify(&item.key, item.message, &item.signature).is_ok();
    if let [item] = items {
        verdicts.push(single(item));
        return;
    }
    let mut transcript = ::blake3::Hasher::new_keyed(seed);
    let mut batch = library::batch::Verifier::new();
    for item in items {
        transcript.update(&item.key.0).update(&item.signature.0);
        transcript.update(&(item.message.len() as u64).to_le_bytes()).update(item.message);
        let key = library::VerificationKeyBytes::from(item.key.0);
        batch.queue((key, library::Signature::from(item.signature.0), item.message));
    }
    let chance = ChaCha8Rng::from_seed(*transcript.finalize().as_bytes());
    if batch.verify(chance).is_ok() {
        verdicts.extend(items.iter().map(|_| true));
    } else {
        verdicts.extend(items.iter().map(single));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// RFC 8032 7.1: seed, public key, message, signature.
    const RFC8032: [[&str; 4]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ],
    ];

    #[test]
    fn rfc8032_vectors() {
        for [seed, public, message, signature] in RFC8032 {
            let key = SigningKey::from_seed(&bytes(seed));
            assert_eq!(key.verifying_key().0, bytes::<32>(public));
            assert_eq!(*key.to_seed(), bytes::<32>(seed));
            let message = hex::decode(message).unwrap();
            let made = key.sign(&message);
            assert_eq!(made.0, bytes::<64>(signature));
            assert_eq!(verify(key.verifying_key(), &message, &made), Ok(()));
            assert_eq!(verify(key.verifying_key(), b"other", &made), Err(InvalidSignature));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SigningKey::from_seed(&[0x5e; 32]);
        assert!(!format!("{key:?}").contains("5e5e5e"));
    }

    /// ZIP-215 accepts a key and R of small order with s = 0 over any message, singly and in a batch; strict rules refuse.
    #[test]
    fn zip215_small_order_agrees_in_batch() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let item =
            BatchItem { key: VerifyingKey(identity), message: b"any", signature: Signature(signature) };
        assert_eq!(verify(&item.key, item.message, &item.signature), Ok(()));
        assert_eq!(verify_batch(&[item, item, item], &[1; 32]), [true; 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn batch_equals_single(bad in proptest::collection::vec(any::<bool>(), 0..20), seed: [u8; 32]) {
            let key = SigningKey::from_seed(&[3; 32]);
            let other = SigningKey::from_seed(&[4; 32]);
            let messages: Vec<_> = (0..bad.len()).map(|index| index.to_le_bytes()).collect();
            let items: Vec<_> = messages.iter().zip(&bad).enumerate().map(|(index, (message, bad))| {
                let key = if index % 3 == 0 { &other } else { &key };
                let mut signature = key.sign(message);
                signature.0[40] ^= u8::from(*bad);
                BatchItem { key: *key.verifying_key(), message, signature }
            }).collect();
            let expected: Vec<_> = bad.iter().map(|bad| !bad).collect();
            prop_assert_eq!(verify_batch(&items, &seed), expected);
        }

        #[test]
        fn hostile_bytes_never_pass_or_panic(key: [u8; 32], low: [u8; 32], high: [u8; 32]) {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&low);
            signature[32..].copy_from_slice(&high);
            let _ = verify(&VerifyingKey(key), b"x", &Signature(signature));
        }
    }
}

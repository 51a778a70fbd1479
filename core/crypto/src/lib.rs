//! Hashes, signatures, key derivation and sealed boxes over well-kept libraries.
//!
//! Everything here is a pure function of its arguments: salts, nonces and seeds are passed in by the caller, who takes
//! them from the runtime's entropy. Secrets are wiped when dropped and never shown by `Debug`.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod address;
pub mod aead;
mod digest;
pub mod ed25519;
pub mod kdf;
pub mod keystore;
pub mod secp256k1;

pub use address::{Address, AddressError};
pub use digest::{Hash, HashError, Keccak, blake3, keccak256, keccak256_all, sha256};

/// Whether two byte strings are equal, in a time that depends on their lengths only.
///
/// For comparing secrets: tags, tokens, keys.
pub fn ct_eq(left: &[u8], right: &[u8]) -> bool {
    subtle::ConstantTimeEq::ct_eq(left, right).into()
}

#[cfg(test)]
mod tests {
    use super::ct_eq;

    #[test]
    fn ct_eq_is_equality() {
        assert!(ct_eq(b"", b""));
        assert!(ct_eq(b"secret", b"secret"));
        assert!(!ct_eq(b"secret", b"secreT"));
        assert!(!ct_eq(b"secret", b"secrets"));
    }
}

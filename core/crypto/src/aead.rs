//! XChaCha20-Poly1305: sealed boxes with a nonce long enough to be drawn at random.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce. Never use one twice with the same key; drawn at random, that does not happen.
pub const NONCE_BYTES: usize = 24;
/// Bytes that sealing adds.
pub const TAG_BYTES: usize = 16;

/// Why a box cannot be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AeadError {
    /// The message exceeds what the cipher can seal (256 GiB).
    #[error("the message is too long for xchacha20-poly1305")]
    TooLong,
    /// Wrong key, or the box or its header was altered.
    #[error("the sealed box does not open: wrong key, or it was altered")]
    NotAuthentic,
}

/// Seals `message`; `header` is authenticated but not part of the box.
pub fn seal(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    header: &[u8],
    message: &[u8],
) -> Result<Vec<u8>, AeadError> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let payload = Payload { msg: message, aad: header };
    cipher.encrypt(&XNonce::from(*nonce), payload).map_err(|_| AeadError::TooLong)
}

/// Opens what [`seal`] made. The message is wiped when dropped.
pub fn open(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    header: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, AeadError> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let payload = Payload { msg: sealed, aad: header };
    cipher.decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| AeadError::NotAuthentic)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// draft-irtf-cfrg-xchacha-03, A.3.1.
    #[test]
    fn draft_vector() {
        let key: [u8; 32] = std::array::from_fn(|index| 0x80 + index as u8);
        let nonce: [u8; 24] = std::array::from_fn(|index| 0x40 + index as u8);
        let header = hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap();
        let message: &[u8] = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let sealed = seal(&key, &nonce, &header, message).unwrap();
        assert!(hex::encode(&sealed).starts_with("bd6d179d3e83d43b9576579493c0e939"));
        assert!(hex::encode(&sealed).ends_with("c0875924c1c7987947deafd8780acf49"));
        assert_eq!(open(&key, &nonce, &header, &sealed).unwrap().as_slice(), message);
    }

    proptest! {
        #[test]
        fn any_flip_is_refused(message in proptest::collection::vec(any::<u8>(), 0..64), at: usize, bit in 0..8u32) {
            let (key, nonce) = ([1; 32], [2; 24]);
            let mut sealed = seal(&key, &nonce, b"h", &message).unwrap();
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(open(&key, &nonce, b"h", &sealed), Err(AeadError::NotAuthentic));
        }
    }
}

//! What the shards of a node, and its runs, must share so that each can speak for the others.

use crate::entropy::Entropy;
use aws_lc_rs::{hkdf, hmac};
use quinn_proto::crypto::{HandshakeTokenKey, HmacKey};
use shroud_runtime::Runtime;
use std::sync::Arc;

/// Bytes that [`Secrets::from_bytes`] takes.
pub const SECRET_LENGTH: usize = 64;

/// The keys behind stateless resets (RFC 9000 10.3), address-validation tokens (8.1) and connection ids (5.1).
///
/// Members of one [`Group`](crate::Group) share them. A node that keeps them over a restart can still reset connections of
/// its former run, and accepts the tokens that it gave out.
#[derive(Clone)]
pub struct Secrets {
    reset: [u8; 64],
    token: [u8; 64],
    connection_id: [u8; 16],
}

impl Secrets {
    /// Fresh secrets from the seam's entropy.
    #[must_use]
    pub fn generate<R: Runtime>(runtime: &R) -> Self {
        let mut secret = [0; SECRET_LENGTH];
        runtime.fill(&mut secret);
        Self::from_bytes(&secret)
    }

    /// Secrets derived from one that is kept elsewhere: equal bytes give equal secrets.
    #[must_use]
    pub fn from_bytes(secret: &[u8; SECRET_LENGTH]) -> Self {
        let (mut reset, mut token, mut connection_id) = ([0; 64], [0; 64], [0; 16]);
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"shroud quic").extract(secret);
        derive(&root, b"stateless reset", &mut reset);
        derive(&root, b"address validation", &mut token);
        derive(&root, b"connection id", &mut connection_id);
        Self { reset, token, connection_id }
    }

    pub(crate) fn reset_key(&self) -> Arc<dyn HmacKey> {
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &self.reset))
    }

    pub(crate) fn token_key(&self) -> Arc<dyn HandshakeTokenKey> {
        Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.token))
    }

    pub(crate) fn connection_id_key(&self) -> (u64, u64) {
        let [low, high] = [0, 8].map(|from| {
            let mut half = [0; 8];
            half.copy_from_slice(self.connection_id.get(from..from + 8).unwrap_or(&[0; 8]));
            u64::from_le_bytes(half)
        });
        (low, high)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

fn derive(root: &hkdf::Prk, purpose: &[u8], out: &mut [u8]) {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    // Fails only for outputs beyond 255 hashes, which none of ours is.
    let derived = root.expand(&[purpose], Length(out.len())).and_then(|key| key.fill(out));
    debug_assert!(derived.is_ok());
}

/// The seam's entropy as a value that outlives the call.
pub(crate) fn entropy<R: Runtime>(runtime: &R) -> Entropy {
    let runtime = runtime.clone();
    Arc::new(move |out| runtime.fill(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_give_equal_secrets_and_none_is_shown() {
        let [one, same, other] = [[1; 64], [1; 64], [2; 64]].map(|bytes| Secrets::from_bytes(&bytes));
        assert_eq!(one.reset, same.reset);
        assert_eq!(one.token, same.token);
        assert_eq!(one.connection_id_key(), same.connection_id_key());
        assert_ne!(one.reset, other.reset);
        assert_ne!(one.reset, one.token, "each purpose has its own");
        assert_eq!(format!("{one:?}"), "Secrets(..)");
    }
}

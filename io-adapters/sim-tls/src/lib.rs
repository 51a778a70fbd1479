//! **Test only.** A provider of cryptography for rustls whose keys are drawn from a simulation's seed.
//!
//! Whoever knows the seed knows every key of every session: nothing that is encrypted with it is secret. So it cannot be had
//! outside of a simulated world: [`InsecureSimulatedProvider::new`] takes a [`SimIo`], which only a universe hands out, and whatever
//! is made with the provider refuses to draw once the run of the host is over for which it was made.
//!
//! Randomness and key exchange (X25519 alone) come from the host's simulated entropy; the arithmetic is AWS-LC's, as in the
//! house's own provider. Certificates must be of Ed25519, whose signatures are deterministic: other private keys are
//! refused, since AWS-LC would sign with entropy of its own.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod certificate;
mod exchange;
mod source;

pub use certificate::insecure_certificate;

use rustls::crypto::{CryptoProvider, KeyProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{Error, SignatureAlgorithm};
use shroud_io_sim::SimIo;
use source::Source;
use std::sync::Arc;

/// A deterministic provider for one run of one simulated host. **Insecure by design.**
///
/// When the last clone is dropped, the provider draws no more: keep it for as long as sessions are made with it.
#[derive(Clone, Debug)]
pub struct InsecureSimulatedProvider {
    provider: Arc<CryptoProvider>,
    _source: Arc<Lease>,
}

/// Gives the source back.
#[derive(Debug)]
struct Lease(&'static Source);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl InsecureSimulatedProvider {
    /// The provider of a simulated host: it draws from the entropy of this run of it.
    #[must_use]
    pub fn new(io: SimIo) -> Self {
        let source = Source::take(io);
        let provider = CryptoProvider {
            kx_groups: vec![source],
            secure_random: source,
            key_provider: &Ed25519Only,
            ..aws_lc_rs::default_provider()
        };
        Self { provider: Arc::new(provider), _source: Arc::new(Lease(source)) }
    }

    /// As rustls wants it.
    #[must_use]
    pub fn provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.provider)
    }
}

/// Loads private keys that sign without entropy.
#[derive(Debug)]
struct Ed25519Only;

impl KeyProvider for Ed25519Only {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key)?;
        match key.algorithm() {
            SignatureAlgorithm::ED25519 => Ok(key),
            other => Err(Error::General(format!(
                "the simulated provider signs with Ed25519 only: {other:?} takes entropy that no seed knows"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;

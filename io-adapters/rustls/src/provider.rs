//! The provider of cryptography, and the seam's clock.

use rustls::NamedGroup;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use shroud_runtime::Runtime;
use std::fmt;
use std::sync::Arc;

/// The house's provider: AWS-LC, with the hybrid post-quantum group X25519MLKEM768 first, then X25519, P-256, P-384.
///
/// Everything in this crate takes a provider explicitly, so that a simulator can give a deterministic one.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    // Whatever the library's order is: a client's key share is of the first.
    provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768);
    Arc::new(provider)
}

/// A runtime's wall clock for rustls.
pub struct SeamClock<R> {
    runtime: R,
}

impl<R: Runtime> SeamClock<R> {
    /// The clock of `runtime`.
    pub fn new(runtime: R) -> Arc<Self> {
        Arc::new(Self { runtime })
    }
}

impl<R> fmt::Debug for SeamClock<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeamClock").finish_non_exhaustive()
    }
}

impl<R: Runtime> TimeProvider for SeamClock<R> {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.runtime.unix_time()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hybrid_group_is_first_and_the_classical_ones_remain() {
        let names: Vec<_> = provider().kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(names.first(), Some(&NamedGroup::X25519MLKEM768));
        assert!(names.contains(&NamedGroup::X25519) && names.contains(&NamedGroup::secp256r1));
    }
}

//! Trust anchors out of PEM, for servers that ask for certificates and for clients; and what both build on.

use crate::certificate::{CertificateError, all_certificates};
use crate::server::ConfigError;
use rustls::RootCertStore;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

/// Trust anchors in one text, at most.
const MAX_ANCHORS: usize = 4096;

/// At least one, all of which must be readable.
pub(crate) fn strict(text: &[u8]) -> Result<Arc<RootCertStore>, ConfigError> {
    let mut roots = RootCertStore::empty();
    for (der, position) in all_certificates(text, MAX_ANCHORS)?.into_iter().zip(1..) {
        roots
            .add(der)
            .map_err(|error| CertificateError::Malformed { position, reason: error.to_string() })?;
    }
    some(roots)
}

/// Those that can be read, at least one.
pub(crate) fn lenient(text: &[u8]) -> Result<Arc<RootCertStore>, ConfigError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(all_certificates(text, MAX_ANCHORS)?);
    some(roots)
}

fn some(roots: RootCertStore) -> Result<Arc<RootCertStore>, ConfigError> {
    if roots.is_empty() {
        return Err(CertificateError::NoCertificate.into());
    }
    Ok(Arc::new(roots))
}

/// The versions that are spoken.
pub(crate) fn versions(only_13: bool) -> &'static [&'static SupportedProtocolVersion] {
    static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];
    static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    if only_13 { &NEW } else { &ALL }
}

//! A certificate chain with its key, checked when it is read rather than when a client comes.

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The longest PEM text that is read, in bytes.
pub const MAX_PEM: usize = 1024 * 1024;

/// The longest chain, in certificates.
pub const MAX_CHAIN: usize = 16;

/// A certificate chain with its private key.
#[derive(Debug, Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    begins: Duration,
    expires: Duration,
}

/// A chain or key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The text is longer than [`MAX_PEM`].
    #[error("the {what} text is longer than {MAX_PEM} bytes")]
    TextTooLong {
        /// `certificate` or `key`.
        what: &'static str,
    },
    /// The text is not PEM (RFC 7468).
    #[error("the {what} text is not PEM: {reason}")]
    Pem {
        /// `certificate` or `key`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no certificate in it.
    #[error("there is no certificate in the text (no -----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// More than [`MAX_CHAIN`] certificates.
    #[error("the chain has more than {MAX_CHAIN} certificates")]
    ChainTooLong,
    /// There is no private key in it.
    #[error("there is no private key in the text (no -----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// The provider cannot use the key.
    #[error("the private key cannot be used: {0}")]
    Key(String),
    /// The key is another certificate's.
    #[error("the private key does not belong to the first certificate of the chain")]
    KeyMismatch,
    /// Not a certificate inside (RFC 5280).
    #[error("certificate {position} of the chain cannot be read: {reason}")]
    Malformed {
        /// Counted from one.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate was not issued by the one after it.
    #[error("certificate {position} of the chain was not issued by the one after it")]
    Order {
        /// Counted from one.
        position: usize,
    },
    /// A certificate's time is over.
    #[error("certificate {position} of the chain has expired (at {at})")]
    Expired {
        /// Counted from one.
        position: usize,
        /// When, as the certificate says.
        at: String,
    },
    /// A certificate's time has not come.
    #[error("certificate {position} of the chain is not valid before {at}")]
    NotYetValid {
        /// Counted from one.
        position: usize,
        /// When, as the certificate says.
        at: String,
    },
    /// A server needs one at least.
    #[error("there is no certificate to serve with")]
    NoneToServe,
}

impl Certificate {
    /// Reads a chain (the server's own certificate first) and its key from PEM, and checks that they belong together
    /// and are valid at `now` (since the Unix epoch).
    ///
    /// # Errors
    /// [`CertificateError`], which says what to repair.
    pub fn from_pem(
        chain: &[u8],
        key: &[u8],
        now: Duration,
        provider: &CryptoProvider,
    ) -> Result<Self, CertificateError> {
        let chain = certificates(chain)?;
        if key.len() > MAX_PEM {
            return Err(CertificateError::TextTooLong { what: "key" });
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => CertificateError::NoKey,
            other => CertificateError::Pem { what: "key", reason: other.to_string() },
        })?;
        Self::new(chain, key, now, provider)
    }

    /// As [`Certificate::from_pem`], of parts in DER.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        now: Duration,
        provider: &CryptoProvider,
    ) -> Result<Self, CertificateError> {
        let Examined { names, begins, expires } = examine(&chain, now)?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| CertificateError::Key(error.to_string()))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(CertificateError::KeyMismatch),
            Err(error) => return Err(CertificateError::Malformed { position: 1, reason: error.to_string() }),
        }
        Ok(Self { key: Arc::new(key), names, begins, expires })
    }

    /// The DNS names it is for, in lower case; `*.` stands for one label.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Since when the certificate itself is valid, since the Unix epoch.
    #[must_use]
    pub const fn begins(&self) -> Duration {
        self.begins
    }

    /// When the first certificate of the chain to expire does, since the Unix epoch.
    #[must_use]
    pub const fn expires(&self) -> Duration {
        self.expires
    }

    /// The chain, the certificate itself first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// As rustls wants it.
    #[must_use]
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

/// The certificates in a PEM text, at least one and at most [`MAX_CHAIN`].
fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found = all_certificates(text, MAX_CHAIN)?;
    if found.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(found) }
}

pub(crate) fn all_certificates(
    text: &[u8],
    most: usize,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    if text.len() > MAX_PEM {
        return Err(CertificateError::TextTooLong { what: "certificate" });
    }
    let mut found = Vec::new();
    for item in CertificateDer::pem_slice_iter(text) {
        let der =
            item.map_err(|error| CertificateError::Pem { what: "certificate", reason: error.to_string() })?;
        if found.len() == most {
            return Err(CertificateError::ChainTooLong);
        }
        found.push(der);
    }
    Ok(found)
}

/// What a chain says of itself.
struct Examined {
    names: Vec<String>,
    begins: Duration,
    expires: Duration,
}

/// Checks order and dates; says the first certificate's names and beginning, and when the chain expires.
fn examine(chain: &[CertificateDer<'static>], now: Duration) -> Result<Examined, CertificateError> {
    if chain.len() > MAX_CHAIN {
        return Err(CertificateError::ChainTooLong);
    }
    let parsed = chain
        .iter()
        .zip(1..)
        .map(|(der, position)| match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Ok(certificate),
            Err(error) => Err(CertificateError::Malformed { position, reason: error.to_string() }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let mut expires = i64::MAX;
    for (certificate, position) in parsed.iter().zip(1..) {
        let validity = certificate.validity();
        if validity.not_after.timestamp() < now {
            return Err(CertificateError::Expired { position, at: validity.not_after.to_string() });
        }
        if validity.not_before.timestamp() > now {
            return Err(CertificateError::NotYetValid { position, at: validity.not_before.to_string() });
        }
        expires = expires.min(validity.not_after.timestamp());
    }
    for ((certificate, issuer), position) in parsed.iter().zip(parsed.iter().skip(1)).zip(1..) {
        if certificate.issuer().as_raw() != issuer.subject().as_raw() {
            return Err(CertificateError::Order { position });
        }
    }
    let own = parsed.first().ok_or(CertificateError::NoCertificate)?;
    let names = own
        .subject_alternative_name()
        .map_err(|error| CertificateError::Malformed { position: 1, reason: error.to_string() })?
        .map(|names| {
            let dns = names.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            });
            dns.collect()
        })
        .unwrap_or_default();
    let since_epoch = |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let begins = since_epoch(own.validity().not_before.timestamp());
    Ok(Examined { names, begins, expires: since_epoch(expires) })
}

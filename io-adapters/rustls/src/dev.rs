//! Certificates for development, made on first start.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType, date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long one is valid from now; it is also valid for the day before, for clocks that differ.
const LIFE: Duration = Duration::from_secs(397 * 24 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Keys that are tried: one in four thousand million random numbers is none.
const ATTEMPTS: usize = 8;

/// A key's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DevKey {
    /// ECDSA over P-256, which every client takes.
    #[default]
    P256,
    /// Ed25519: deterministic and of fixed size, but browsers refuse it.
    Ed25519,
}

/// A self-signed certificate for `localhost`, 127.0.0.1 and ::1, whose subject says what it is.
///
/// This makes it; where it is kept is the caller's business. The key's file should be readable by its owner alone.
pub struct DevCertificate {
    /// The certificate, as PEM.
    pub certificate_pem: String,
    /// Its key, as PEM (PKCS #8).
    pub key_pem: Zeroizing<String>,
}

/// A development certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("a development certificate could not be made: {0}")]
pub struct DevError(String);

impl DevCertificate {
    /// Makes one at `now` (since the Unix epoch), for `names` beside the local ones, from `entropy` (the seam's `fill`).
    ///
    /// # Errors
    /// [`DevError`] when a name is none, or entropy gives no key.
    pub fn generate(
        key: DevKey,
        names: &[&str],
        now: Duration,
        entropy: impl FnMut(&mut [u8]),
    ) -> Result<Self, DevError> {
        let pair = key.fresh(entropy).ok_or_else(|| DevError("entropy gives no key".to_owned()))?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])
            .map_err(|error| DevError(error.to_string()))?;
        params.subject_alt_names.extend(
            [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(SanType::IpAddress),
        );
        for name in names {
            let name = match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(
                    (*name).try_into().map_err(|_| DevError(format!("{name:?} is no host name")))?,
                ),
            };
            params.subject_alt_names.push(name);
        }
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "Shroud development certificate");
        subject.push(DnType::CommonName, "Shroud development certificate, not for production");
        params.distinguished_name = subject;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // The whole days around it: the format has no more than seconds.
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(now.saturating_sub(DAY).as_secs());
        params.not_after = epoch + Duration::from_secs(now.saturating_add(LIFE).as_secs());
        let certificate = params.self_signed(&pair).map_err(|error| DevError(error.to_string()))?;
        Ok(Self { certificate_pem: certificate.pem(), key_pem: Zeroizing::new(pair.serialize_pem()) })
    }
}

impl DevKey {
    /// A new key pair, unless entropy gives none.
    pub(crate) fn fresh(self, mut entropy: impl FnMut(&mut [u8])) -> Option<KeyPair> {
        (0..ATTEMPTS).find_map(|_| {
            let mut secret = Zeroizing::new([0; 32]);
            entropy(&mut *secret);
            self.pair(&secret).ok()
        })
    }

    /// The key pair of a secret.
    fn pair(self, secret: &[u8; 32]) -> Result<KeyPair, rcgen::Error> {
        // PKCS #8 (RFC 5208) around a bare key (RFC 8410, 7; RFC 5915, 3).
        const ED25519: &[u8] = &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        const P256: &[u8] = &[
            0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86,
            0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20,
        ];
        let (head, algorithm) = match self {
            Self::P256 => (P256, &PKCS_ECDSA_P256_SHA256),
            Self::Ed25519 => (ED25519, &PKCS_ED25519),
        };
        let der = Zeroizing::new([head, secret].concat());
        KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der.as_slice()), algorithm)
    }
}

impl fmt::Debug for DevCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevCertificate").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Certificate, CertificateError, provider};

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn it_is_valid_when_made_and_no_longer_than_it_says() {
        for key in [DevKey::P256, DevKey::Ed25519] {
            let dev = DevCertificate::generate(key, &["node.test"], NOW, |out| out.fill(7)).unwrap();
            let read = |now| {
                let (chain, key) = (dev.certificate_pem.as_bytes(), dev.key_pem.as_bytes());
                Certificate::from_pem(chain, key, now, &provider())
            };
            let certificate = read(NOW).unwrap();
            assert_eq!(certificate.names(), ["localhost", "node.test"]);
            assert_eq!(certificate.expires(), NOW + LIFE);
            assert!(read(NOW + LIFE).is_ok() && read(NOW - DAY).is_ok());
            assert!(matches!(
                read(NOW + LIFE + Duration::from_secs(1)),
                Err(CertificateError::Expired { position: 1, .. })
            ));
            assert!(matches!(
                read(NOW - DAY - Duration::from_secs(1)),
                Err(CertificateError::NotYetValid { position: 1, .. })
            ));
        }
    }

    #[test]
    fn the_same_entropy_gives_the_same_ed25519_certificate() {
        let make = |byte| {
            DevCertificate::generate(DevKey::Ed25519, &[], NOW, |out| out.fill(byte)).unwrap().certificate_pem
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn entropy_that_gives_no_key_is_an_error() {
        assert!(DevCertificate::generate(DevKey::P256, &[], NOW, |out| out.fill(0xff)).is_err());
        assert!(DevCertificate::generate(DevKey::P256, &["n\u{f6}"], NOW, |out| out.fill(1)).is_err());
    }
}

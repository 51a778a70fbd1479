//! Keys and certificates for automatic certificates (ACME, [`shroud_acme`]).

use crate::dev::DevKey;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use shroud_acme::{PublicKey, SignError, Signer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// A proof is valid for a day around now.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A key, or what is made with it, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot be used: {0}")]
pub struct AcmeKeyError(String);

impl AcmeKeyError {
    fn of(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// An account's key, ECDSA over P-256. Signatures take their random numbers from the library. Clones are the same key.
#[derive(Clone)]
pub struct AccountKey {
    pair: Arc<EcdsaKeyPair>,
    pem: Zeroizing<String>,
}

impl AccountKey {
    /// A new one from `entropy` (the seam's `fill`).
    ///
    /// # Errors
    /// [`AcmeKeyError`] when entropy gives no key.
    pub fn generate(entropy: impl FnMut(&mut [u8])) -> Result<Self, AcmeKeyError> {
        Self::of(&fresh(entropy)?)
    }

    /// One that was kept as [`AccountKey::pem`].
    ///
    /// # Errors
    /// [`AcmeKeyError`] for anything else.
    pub fn from_pem(text: &str) -> Result<Self, AcmeKeyError> {
        Self::of(&read(text)?)
    }

    /// As PEM (PKCS #8), to be kept where only its owner can read it.
    #[must_use]
    pub fn pem(&self) -> &Zeroizing<String> {
        &self.pem
    }

    fn of(pair: &KeyPair) -> Result<Self, AcmeKeyError> {
        let der = Zeroizing::new(pair.serialize_der());
        let signing = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der);
        let signing = signing.map_err(AcmeKeyError::of)?;
        Ok(Self { pair: Arc::new(signing), pem: Zeroizing::new(pair.serialize_pem()) })
    }
}

impl Signer for AccountKey {
    fn public_key(&self) -> PublicKey {
        let mut key = PublicKey { x: [0; 32], y: [0; 32] };
        // An uncompressed point (SEC 1, 2.3.3): 4, x, y.
        let point = self.pair.public_key().as_ref().iter().skip(1);
        key.x.iter_mut().chain(&mut key.y).zip(point).for_each(|(to, from)| *to = *from);
        key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| SignError)?;
        signature.as_ref().try_into().map_err(|_| SignError)
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey").finish_non_exhaustive()
    }
}

/// The key of a certificate that is ordered, ECDSA over P-256.
pub struct CertificateKey {
    pair: KeyPair,
}

impl CertificateKey {
    /// A new one from `entropy` (the seam's `fill`).
    ///
    /// # Errors
    /// [`AcmeKeyError`] when entropy gives no key.
    pub fn generate(entropy: impl FnMut(&mut [u8])) -> Result<Self, AcmeKeyError> {
        Ok(Self { pair: fresh(entropy)? })
    }

    /// One that was kept as [`CertificateKey::pem`].
    ///
    /// # Errors
    /// [`AcmeKeyError`] for anything else.
    pub fn from_pem(text: &str) -> Result<Self, AcmeKeyError> {
        Ok(Self { pair: read(text)? })
    }

    /// As PEM (PKCS #8), to be kept where only its owner can read it.
    #[must_use]
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.pair.serialize_pem())
    }

    /// A request for a certificate (PKCS #10, RFC 2986) of these names, in DER.
    ///
    /// # Errors
    /// [`AcmeKeyError`] when a name is none.
    pub fn request(&self, names: &[String]) -> Result<Vec<u8>, AcmeKeyError> {
        let mut params = CertificateParams::new(names).map_err(AcmeKeyError::of)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.pair).map_err(AcmeKeyError::of)?;
        Ok(request.der().to_vec())
    }
}

impl fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateKey").finish_non_exhaustive()
    }
}

/// What proves to an ACME server that a name is ours (RFC 8737, 3): a self-signed certificate with the digest of the key
/// authorization.
#[derive(Debug, Clone)]
pub struct ChallengeCertificate {
    name: String,
    key: Arc<CertifiedKey>,
}

impl ChallengeCertificate {
    /// One for `name`, valid for a day around `now` (since the Unix epoch).
    ///
    /// # Errors
    /// [`AcmeKeyError`] when entropy gives no key, or `name` is none.
    pub fn generate(
        name: &str,
        digest: &[u8; 32],
        now: Duration,
        entropy: impl FnMut(&mut [u8]),
        provider: &CryptoProvider,
    ) -> Result<Self, AcmeKeyError> {
        let pair = fresh(entropy)?;
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(AcmeKeyError::of)?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(now.saturating_sub(DAY).as_secs());
        params.not_after = epoch + Duration::from_secs(now.saturating_add(DAY).as_secs());
        let made = params.self_signed(&pair).map_err(AcmeKeyError::of)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let key = provider.key_provider.load_private_key(key).map_err(AcmeKeyError::of)?;
        // Not checked as others are: ordinary clients must refuse its critical extension.
        let key = Arc::new(CertifiedKey::new(vec![made.der().clone()], key));
        Ok(Self { name: name.to_ascii_lowercase(), key })
    }

    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

fn fresh(entropy: impl FnMut(&mut [u8])) -> Result<KeyPair, AcmeKeyError> {
    DevKey::P256.fresh(entropy).ok_or_else(|| AcmeKeyError::of("entropy gives no key"))
}

fn read(text: &str) -> Result<KeyPair, AcmeKeyError> {
    let pair = KeyPair::from_pem(text).map_err(AcmeKeyError::of)?;
    if pair.algorithm() == &PKCS_ECDSA_P256_SHA256 {
        Ok(pair)
    } else {
        Err(AcmeKeyError::of("it is not of ECDSA over P-256"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate, X509CertificationRequest};

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn an_account_is_the_same_after_it_was_kept_and_others_verify_what_it_signs() {
        let key = AccountKey::generate(|out| out.fill(7)).unwrap();
        let again = AccountKey::from_pem(key.pem()).unwrap();
        assert_eq!(key.public_key(), again.public_key());
        let PublicKey { x, y } = key.public_key();
        let point = [&[4], &x[..], &y[..]].concat();
        let signature = again.sign(b"a message").unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(b"a message", &signature).unwrap();
        assert!(AccountKey::from_pem("no key").is_err());
        assert!(AccountKey::generate(|out| out.fill(0xff)).is_err());
    }

    #[test]
    fn a_request_has_all_names_and_is_signed() {
        let key = CertificateKey::generate(|out| out.fill(9)).unwrap();
        let key = CertificateKey::from_pem(&key.pem()).unwrap();
        let der = key.request(&["a.test".into(), "b.test".into()]).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
        let extensions: Vec<_> = request.requested_extensions().unwrap().collect();
        let [ParsedExtension::SubjectAlternativeName(names)] = extensions.as_slice() else {
            panic!("{extensions:?}");
        };
        assert_eq!(names.general_names.len(), 2);
    }

    #[test]
    fn a_proof_is_what_rfc_8737_asks_for() {
        let entropy = |out: &mut [u8]| out.fill(3);
        let proof = ChallengeCertificate::generate("A.test", &[5; 32], NOW, entropy, &provider()).unwrap();
        assert_eq!(proof.name(), "a.test");
        let (_, certificate) = X509Certificate::from_der(&proof.certified_key().cert[0]).unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        let identifier = certificate
            .extensions()
            .iter()
            .find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
            .unwrap();
        assert!(identifier.critical);
        // An OCTET STRING in the extension's own.
        assert_eq!(identifier.value, [&[4, 32], &[5; 32][..]].concat());
    }
}

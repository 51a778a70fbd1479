//! Which certificate a client gets.

use crate::acme::ChallengeCertificate;
use crate::alpn;
use crate::certificate::{Certificate, CertificateError};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A server's certificates: each client gets one for the name it asks for (SNI, RFC 6066 3), or the default.
///
/// [`Certificates::replace`] changes all of them at once, for handshakes that begin afterwards; connections go on.
/// A name may have several certificates, of different kinds of key: a client gets the first that it can verify.
///
/// Those that are obtained by ACME also answer its challenge (RFC 8737): [`Certificates::present`].
pub struct Certificates {
    current: RwLock<Arc<Set>>,
    /// By name, of those that are obtained by ACME.
    challenges: Option<RwLock<BTreeMap<String, Arc<CertifiedKey>>>>,
}

#[derive(Default)]
struct Set {
    default: Option<Certificate>,
    exact: BTreeMap<String, Vec<Certificate>>,
    /// By what follows `*.`.
    wildcard: BTreeMap<String, Vec<Certificate>>,
}

impl Certificates {
    /// The first is also the default, for clients that ask for no name or for an unknown one.
    ///
    /// # Errors
    /// [`CertificateError::NoneToServe`] without any.
    pub fn new(certificates: Vec<Certificate>) -> Result<Arc<Self>, CertificateError> {
        let current = RwLock::new(Arc::new(Set::new(certificates)?));
        Ok(Arc::new(Self { current, challenges: None }))
    }

    /// None yet: they are obtained by ACME. Until [`Certificates::replace`], handshakes are refused with the alert
    /// `access_denied`.
    #[must_use]
    pub fn by_acme() -> Arc<Self> {
        Arc::new(Self { current: RwLock::default(), challenges: Some(RwLock::default()) })
    }

    /// Replaces all of them.
    ///
    /// # Errors
    /// [`CertificateError::NoneToServe`] without any: the old ones stay.
    pub fn replace(&self, certificates: Vec<Certificate>) -> Result<(), CertificateError> {
        let set = Arc::new(Set::new(certificates)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = set;
        Ok(())
    }

    /// The default one, if there is any yet.
    #[must_use]
    pub fn default_certificate(&self) -> Option<Certificate> {
        self.set().default.clone()
    }

    /// Shows `proof` to clients that ask for its name and offer the protocol `acme-tls/1` alone (RFC 8737, 3), until
    /// [`Certificates::withdraw`]. Does nothing unless made by [`Certificates::by_acme`].
    pub fn present(&self, proof: &ChallengeCertificate) {
        if let Some(challenges) = &self.challenges {
            let mut challenges = challenges.write().unwrap_or_else(PoisonError::into_inner);
            challenges.insert(proof.name().to_owned(), Arc::clone(proof.certified_key()));
        }
    }

    /// Shows the proof of `name` (in lower case) no longer.
    pub fn withdraw(&self, name: &str) {
        if let Some(challenges) = &self.challenges {
            challenges.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }

    /// The application protocols of an HTTP server over TCP with these certificates: HTTP/2, HTTP/1.1, and at last the one
    /// that challenges are made by, where they are answered.
    #[must_use]
    pub fn http_protocols(&self) -> &'static [&'static [u8]] {
        const ALL: &[&[u8]] = &[alpn::H2, alpn::HTTP_1_1, alpn::ACME_TLS_1];
        if self.challenges.is_some() { ALL } else { &[alpn::H2, alpn::HTTP_1_1] }
    }

    fn set(&self) -> Arc<Set> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Set {
    fn new(certificates: Vec<Certificate>) -> Result<Self, CertificateError> {
        let default = Some(certificates.first().cloned().ok_or(CertificateError::NoneToServe)?);
        let (mut exact, mut wildcard) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for certificate in certificates {
            for name in certificate.names() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, parent),
                    None => (&mut exact, name.as_str()),
                };
                map.entry(name.to_owned()).or_default().push(certificate.clone());
            }
        }
        Ok(Self { default, exact, wildcard })
    }

    fn find(&self, name: &str) -> Option<&[Certificate]> {
        let exact = self.exact.get(name);
        let found = exact.or_else(|| name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent)));
        found.map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(challenges) = &self.challenges
            && hello.alpn().is_some_and(|offered| offered.eq([alpn::ACME_TLS_1]))
        {
            let challenges = challenges.read().unwrap_or_else(PoisonError::into_inner);
            return challenges.get(hello.server_name()?).cloned();
        }
        let set = self.set();
        // rustls gives the name in lower case and without a final dot.
        let candidates = hello.server_name().and_then(|name| set.find(name)).unwrap_or(&[]);
        let usable = candidates.iter().find(|certificate| {
            certificate.certified_key().key.choose_scheme(hello.signature_schemes()).is_some()
        });
        let chosen = usable.or(candidates.first()).or(set.default.as_ref())?;
        Some(Arc::clone(chosen.certified_key()))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.set();
        f.debug_list().entries(set.exact.keys().chain(set.wildcard.keys())).finish()
    }
}

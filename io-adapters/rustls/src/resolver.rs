//! Which certificate a client gets.

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
pub struct Certificates {
    current: RwLock<Arc<Set>>,
}

struct Set {
    default: Certificate,
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
        Ok(Arc::new(Self { current: RwLock::new(Arc::new(Set::new(certificates)?)) }))
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

    /// The default one.
    #[must_use]
    pub fn default_certificate(&self) -> Certificate {
        self.set().default.clone()
    }

    fn set(&self) -> Arc<Set> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Set {
    fn new(certificates: Vec<Certificate>) -> Result<Self, CertificateError> {
        let default = certificates.first().cloned().ok_or(CertificateError::NoneToServe)?;
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
        let set = self.set();
        // rustls gives the name in lower case and without a final dot.
        let candidates = hello.server_name().and_then(|name| set.find(name)).unwrap_or(&[]);
        let usable = candidates.iter().find(|certificate| {
            certificate.certified_key().key.choose_scheme(hello.signature_schemes()).is_some()
        });
        let chosen = usable.or(candidates.first()).unwrap_or(&set.default);
        Some(Arc::clone(chosen.certified_key()))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.set();
        f.debug_list().entries(set.exact.keys().chain(set.wildcard.keys())).finish()
    }
}

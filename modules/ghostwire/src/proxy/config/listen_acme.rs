//! A listener's certificate by ACME.

use super::UpstreamTrust;
use crate::acme::{AcmeError, AcmeOptions};
use crate::proxy::connector::trust;
use std::path::PathBuf;

/// A listener's certificate by ACME, proved on the listener's own port, which the world must reach as 443. The operator agrees
/// to the terms of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAcme {
    /// The DNS names.
    pub names: Vec<String>,
    /// The ACME server's directory.
    pub directory: String,
    /// Where the ACME server may write to.
    pub contact: Vec<String>,
    /// Where keys and certificates are kept.
    pub cache: PathBuf,
    /// Whom to believe about the ACME server.
    pub trust: UpstreamTrust,
}

impl ListenAcme {
    /// For [`Renewal`](crate::acme::Renewal).
    ///
    /// # Errors
    /// [`AcmeError`] when nothing can be ordered so.
    pub fn options(&self) -> Result<AcmeOptions, AcmeError> {
        let trust = trust(&self.trust)?;
        let (names, directory) = (self.names.clone(), self.directory.clone());
        let contact = self.contact.clone();
        let options = AcmeOptions { names, directory, contact, terms_agreed: true, trust };
        options.validate()?;
        Ok(options)
    }
}

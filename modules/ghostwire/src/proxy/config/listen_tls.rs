//! A listener's certificate, as a configuration file says it.

use super::file::{Read, authorities};
use super::{ListenAcme, ListenTls};
use crate::acme::LETS_ENCRYPT;
use serde::Deserialize;
use std::path::PathBuf;

const CHOICES: &str =
    "tls needs `certificate` and `key`, or `development` with a directory, or `acme` with names";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ListenTlsTable {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    development: Option<PathBuf>,
    acme: Option<Vec<String>>,
    acme_agree: Option<bool>,
    acme_cache: Option<PathBuf>,
    acme_contact: Option<Vec<String>>,
    acme_directory: Option<String>,
    acme_ca: Option<PathBuf>,
}

impl ListenTlsTable {
    pub(super) fn into_tls(self, read: Read<'_>) -> Result<ListenTls, String> {
        let about_acme = self.acme_agree.is_some()
            || self.acme_cache.is_some()
            || self.acme_contact.is_some()
            || self.acme_directory.is_some()
            || self.acme_ca.is_some();
        match (self.certificate, self.key, self.development, self.acme) {
            (None, None, None, Some(names)) => {
                if self.acme_agree != Some(true) {
                    return Err(
                        "read the terms of service of the ACME server, then agree with `acme-agree = true`"
                            .into(),
                    );
                }
                let cache = self
                    .acme_cache
                    .ok_or("`acme` needs `acme-cache`, a directory for keys and certificates")?;
                let acme = ListenAcme {
                    names,
                    directory: self.acme_directory.unwrap_or_else(|| LETS_ENCRYPT.into()),
                    contact: self.acme_contact.unwrap_or_default(),
                    cache,
                    trust: authorities(self.acme_ca.as_deref(), "tls.acme-ca", read)?,
                };
                acme.options().map_err(|error| error.to_string())?;
                Ok(ListenTls::Acme(Box::new(acme)))
            }
            _ if about_acme => Err("`acme-...` goes with `acme`, and that with no other certificate".into()),
            (Some(certificate), Some(key), None, None) => Ok(ListenTls::Files { certificate, key }),
            (None, None, Some(directory), None) => Ok(ListenTls::Development(directory)),
            _ => Err(CHOICES.into()),
        }
    }
}

//! A server's certificate by ACME: what the operator says, and where keys and certificates are kept.

use super::Failure;
use super::tls::write;
use super::trust::{from_file, system};
use crate::node::CertificateSource;
use clap::Args;
use serde::{Deserialize, Serialize};
use shroud_ghostwire::acme::{AcmeOptions, Keep, LETS_ENCRYPT};
use shroud_ghostwire::tls::Trust;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to obtain a certificate.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct AcmeFlags {
    /// Serve over TLS with a certificate for this name, obtained and renewed by ACME (Let's Encrypt); may be given several times.
    /// The name must lead to this server's port, which the world must reach as 443
    #[arg(id = "acme-names", long = "acme", env = "SHROUD_ACME", value_name = "NAME", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,

    /// Agree to the terms of service of the ACME server
    #[arg(id = "acme-agree", long, env = "SHROUD_ACME_AGREE")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    agree: bool,

    /// Where the ACME server may write to, such as mailto:admin@example.org; may be given several times
    #[arg(id = "acme-contact", long, env = "SHROUD_ACME_CONTACT", value_name = "mailto:ADDRESS")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contact: Vec<String>,

    /// The ACME server's directory [default: Let's Encrypt's, https://acme-v02.api.letsencrypt.org/directory]
    #[arg(id = "acme-directory", long, env = "SHROUD_ACME_DIRECTORY", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,

    /// Where the account's key and the certificate are kept, for their owner alone [default: `acme` beside other data]
    #[arg(id = "acme-cache", long, env = "SHROUD_ACME_CACHE", value_name = "DIRECTORY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<PathBuf>,

    /// Trust the ACME server by the authorities in this PEM file, instead of the system's
    #[arg(id = "acme-ca", long, env = "SHROUD_ACME_CA", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
}

impl AcmeFlags {
    /// These, and what they say nothing about as in `file`.
    pub(super) fn over(self, file: Self) -> Self {
        let some = |first: Vec<String>, second| if first.is_empty() { second } else { first };
        Self {
            names: some(self.names, file.names),
            agree: self.agree || file.agree,
            contact: some(self.contact, file.contact),
            directory: self.directory.or(file.directory),
            cache: self.cache.or(file.cache),
            ca: self.ca.or(file.ca),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
            && !self.agree
            && self.contact.is_empty()
            && self.directory.is_none()
            && self.cache.is_none()
            && self.ca.is_none()
    }

    /// The certificate; `None` if nobody asks for one. `cache` is where it is kept by default.
    pub(super) fn source(
        &self,
        cache: impl FnOnce() -> Result<PathBuf, Failure>,
    ) -> Result<Option<CertificateSource>, Failure> {
        if self.is_empty() {
            return Ok(None);
        }
        if self.names.is_empty() {
            return Err(Failure::usage("which name is the certificate for? Add --acme NAME"));
        }
        let directory = self.directory.clone().unwrap_or_else(|| LETS_ENCRYPT.to_owned());
        if !self.agree {
            return Err(Failure::usage(format_args!(
                "the ACME server at {directory} may have terms of service: read them, then agree with --acme-agree"
            )));
        }
        let trust = match &self.ca {
            Some(path) => from_file(path)?,
            None => system("--acme-ca")?,
        };
        let options = options(&self.names, directory, &self.contact, trust);
        options.validate().map_err(Failure::usage)?;
        let cache = self.cache.clone().map_or_else(cache, Ok)?;
        Ok(Some(CertificateSource::Acme { options, keep: Directory::lock(cache)? }))
    }
}

/// With the operator's agreement.
pub(super) fn options(names: &[String], directory: String, contact: &[String], trust: Trust) -> AcmeOptions {
    let (names, contact) = (names.to_vec(), contact.to_vec());
    AcmeOptions { names, directory, contact, terms_agreed: true, ..AcmeOptions::new(trust) }
}

/// Files of a directory that only its owner can read, for one process at a time.
pub(super) struct Directory {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: std::fs::File,
}

impl Directory {
    /// What is kept in this directory, made when it is missing, unless another process keeps something there.
    pub(super) fn lock(path: PathBuf) -> Result<Arc<dyn Keep>, Failure> {
        Self::open(path).map(|directory| Arc::new(directory) as Arc<dyn Keep>)
    }

    fn open(path: PathBuf) -> Result<Self, Failure> {
        let failed = || Failure::of(path.display());
        make(&path).map_err(failed())?;
        let lock = std::fs::File::create(path.join("lock")).map_err(failed())?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(std::fs::TryLockError::Error(error)) => Err(failed()(error)),
            Err(std::fs::TryLockError::WouldBlock) => Err(Failure::usage(format_args!(
                "{} is in use by another server: give each its own (--acme-cache, or acme-cache in a proxy's file)",
                path.display()
            ))),
        }
    }

    fn in_it<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))
    }

    fn sync(&self) -> io::Result<()> {
        std::fs::File::open(&self.path)?.sync_all()
    }
}

impl Keep for Directory {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path.join(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => self.in_it(Err(error)),
        }
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        self.in_it(make(&self.path).and_then(|()| write(&path, content, 0o600)).and_then(|()| self.sync()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => self.in_it(removed.and_then(|()| self.sync())),
        }
    }
}

/// Makes a directory and those it is in, so that they outlive a crash.
fn make(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for made in missing {
        let parent = made.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        std::fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_kept_is_for_its_owner_alone() {
        let data = tempfile::tempdir().unwrap();
        let directory = Directory::open(data.path().join("a/b")).unwrap();
        let other = Directory::open(data.path().join("a/b")).map(|_| ()).unwrap_err();
        assert!(other.message.contains("in use by another server"), "{}", other.message);
        assert_eq!(directory.read("x.pem").unwrap(), None);
        directory.remove("x.pem").unwrap();
        directory.write("x.pem", b"one").unwrap();
        directory.write("x.pem", b"two").unwrap();
        assert_eq!(directory.read("x.pem").unwrap().as_deref(), Some(&b"two"[..]));
        let mode =
            |path: &str| std::fs::metadata(data.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a/b"), mode("a/b/x.pem")), (0o700, 0o600));
        directory.remove("x.pem").unwrap();
        assert_eq!(directory.read("x.pem").unwrap(), None);
    }

    #[test]
    fn what_is_missing_is_said() {
        let source = |flags: &AcmeFlags| flags.source(|| Ok("cache".into())).map(|source| source.is_some());
        let mut flags = AcmeFlags::default();
        assert!(matches!(source(&flags), Ok(false)));
        flags.contact = vec!["mailto:a@b.test".into()];
        assert!(source(&flags).unwrap_err().message.contains("--acme NAME"));
        flags.names = vec!["a.test".into()];
        assert!(source(&flags).unwrap_err().message.contains("--acme-agree"));
        flags.agree = true;
        flags.ca = Some("/nowhere/ca.pem".into());
        assert!(source(&flags).unwrap_err().message.contains("/nowhere/ca.pem"));
    }
}

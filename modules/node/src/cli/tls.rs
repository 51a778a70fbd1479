//! A server's certificate: from files, made for development on first start and kept, or by ACME.

use super::Failure;
use super::acme::AcmeFlags;
use crate::node::{CertificateSource, LoadCertificate};
use clap::Args;
use shroud_ghostwire::tls::{Certificate, CertificateError, DevCertificate, DevKey, provider};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How to serve over TLS.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct TlsFlags {
    /// Serve over TLS (https, HTTP/2, and HTTP/3 in UDP) with the certificate chain in this PEM file; SIGHUP loads it anew
    #[arg(long, env = "SHROUD_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert
    #[arg(long, env = "SHROUD_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Serve over TLS with a self-signed certificate for localhost, made on first start and kept in --tls-directory
    #[arg(long)]
    tls_dev: bool,
    /// Where the certificate of --tls-dev is kept [default: shroud/tls in $XDG_DATA_HOME or ~/.local/share]
    #[arg(long, value_name = "DIRECTORY")]
    tls_directory: Option<PathBuf>,
    #[command(flatten)]
    acme: AcmeFlags,
}

impl TlsFlags {
    /// The certificate; `None` to serve in the clear.
    pub(super) fn certificate(&self) -> Result<Option<CertificateSource>, Failure> {
        let development = if self.tls_dev { Some(self.directory()?) } else { None };
        let acme = self.acme.source(|| data("shroud/acme", "--acme-cache"))?;
        choose(self.tls_cert.as_ref(), self.tls_key.as_ref(), development, acme)
    }

    fn directory(&self) -> Result<PathBuf, Failure> {
        self.tls_directory.clone().map_or_else(|| data("shroud/tls", "--tls-directory"), Ok)
    }
}

/// Where data of the user's is kept; `flag` names another place.
fn data(below: &str, flag: &str) -> Result<PathBuf, Failure> {
    let of = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = of("XDG_DATA_HOME").or_else(|| Some(of("HOME")?.join(".local/share")));
    data.map(|data| data.join(below)).ok_or_else(|| {
        Failure::usage(format_args!("no home directory: name one for the certificate with {flag}"))
    })
}

/// The certificate that was chosen; `development` is where one for development is kept.
pub(super) fn choose(
    certificate: Option<&PathBuf>,
    key: Option<&PathBuf>,
    development: Option<PathBuf>,
    acme: Option<CertificateSource>,
) -> Result<Option<CertificateSource>, Failure> {
    match (certificate, key, development, acme) {
        (Some(certificate), Some(key), None, None) => {
            Ok(Some(CertificateSource::Loaded(from_files(certificate.clone(), key.clone()))))
        }
        (None, None, None, acme) => Ok(acme),
        (None, None, Some(directory), None) => {
            Ok(Some(CertificateSource::Loaded(self::development(directory))))
        }
        (_, _, None, None) => Err(Failure::usage("--tls-cert and --tls-key belong together")),
        _ => Err(Failure::usage("a certificate of yours, --tls-dev and --acme exclude each other")),
    }
}

/// A certificate and key that the operator has made.
pub(super) fn from_files(certificate: PathBuf, key: PathBuf) -> LoadCertificate {
    Arc::new(move |now: Duration, _: &mut dyn FnMut(&mut [u8])| {
        read(&certificate, &key, now)?.map_err(|error| at(&certificate, &error))
    })
}

/// One for development, kept in `directory`; made anew when its time is over.
pub(super) fn development(directory: PathBuf) -> LoadCertificate {
    Arc::new(move |now: Duration, entropy: &mut dyn FnMut(&mut [u8])| {
        let (certificate, key) = (directory.join("dev-certificate.pem"), directory.join("dev-key.pem"));
        if certificate.exists() && key.exists() {
            match read(&certificate, &key, now)? {
                Err(CertificateError::Expired { .. }) => {}
                read => return read.map_err(|error| at(&certificate, &error)),
            }
        }
        let made =
            DevCertificate::generate(DevKey::P256, &[], now, entropy).map_err(|error| error.to_string())?;
        std::fs::create_dir_all(&directory).map_err(|error| at(&directory, &error))?;
        write(&key, made.key_pem.as_bytes(), 0o600).map_err(|error| at(&key, &error))?;
        write(&certificate, made.certificate_pem.as_bytes(), 0o644)
            .map_err(|error| at(&certificate, &error))?;
        read(&certificate, &key, now)?.map_err(|error| at(&certificate, &error))
    })
}

fn read(
    certificate: &Path,
    key: &Path,
    now: Duration,
) -> Result<Result<Certificate, CertificateError>, String> {
    let chain = std::fs::read(certificate).map_err(|error| at(certificate, &error))?;
    let secret = std::fs::read(key).map_err(|error| at(key, &error))?;
    Ok(Certificate::from_pem(&chain, &secret, now, &provider()))
}

/// Writes a whole file with these permissions from the start.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let _ = std::fs::remove_file(&part);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_is_made_once_kept_private_and_replaced_when_it_has_expired() {
        let data = tempfile::tempdir().unwrap();
        let load = development(data.path().join("tls"));
        let now = Duration::from_secs(1_800_000_000);
        let mut byte = 0;
        let mut entropy = |out: &mut [u8]| {
            byte += 1;
            out.fill(byte);
        };
        let first = load(now, &mut entropy).unwrap();
        let mode = std::fs::metadata(data.path().join("tls/dev-key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load(now, &mut entropy).unwrap().chain(), first.chain());
        let later = first.expires() + Duration::from_secs(1);
        assert_ne!(load(later, &mut entropy).unwrap().chain(), first.chain());
    }

    #[test]
    fn faults_name_the_file() {
        let data = tempfile::tempdir().unwrap();
        let (certificate, key) = (data.path().join("c.pem"), data.path().join("k.pem"));
        let load = from_files(certificate.clone(), key.clone());
        let fails = || load(Duration::ZERO, &mut |_| {}).unwrap_err();
        assert!(fails().contains("c.pem"));
        std::fs::write(&certificate, "").unwrap();
        assert!(fails().contains("k.pem"));
        std::fs::write(&key, "").unwrap();
        assert!(fails().contains("c.pem: there is no certificate"));
    }
}

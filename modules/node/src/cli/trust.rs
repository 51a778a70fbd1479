//! Which servers the command's clients believe.

use super::Failure;
use clap::Args;
use shroud_ghostwire::tls::Trust;
use std::path::{Path, PathBuf};

/// Where systems keep the certificates of the authorities that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whom to believe.
#[derive(Debug, Clone, Args)]
pub(super) struct TrustFlags {
    /// Accept any certificate: whoever sits in between can read and change everything
    #[arg(short = 'k', long)]
    insecure: bool,
    /// Trust the authorities in this PEM file, instead of the system's
    #[arg(long, visible_alias = "ca", value_name = "FILE")]
    cacert: Option<PathBuf>,
}

impl TrustFlags {
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        if self.insecure {
            return Ok(Trust::InsecureAnyone);
        }
        match &self.cacert {
            Some(path) => from_file(path),
            None => system("--cacert"),
        }
    }
}

/// The authorities of a PEM file.
pub(super) fn from_file(path: &Path) -> Result<Trust, Failure> {
    let text = std::fs::read(path).map_err(Failure::of(path.display()))?;
    Trust::from_pem(&text).map_err(Failure::of(path.display()))
}

/// The system's authorities; `flag` names others.
pub(super) fn system(flag: &str) -> Result<Trust, Failure> {
    let found = BUNDLES.iter().find(|path| Path::new(path).exists());
    let Some(path) = found else {
        return Err(Failure::new(format_args!(
            "this system has no list of trusted authorities where one is looked for; name one with {flag} FILE"
        )));
    };
    let text = std::fs::read(path).map_err(Failure::of(path))?;
    Trust::from_bundle(&text).map_err(Failure::of(path))
}

//! Certificates that a server obtains and renews by itself (ACME, RFC 8555), proved on the port it serves (TLS-ALPN-01,
//! RFC 8737).
//!
//! | file | what is inside |
//! |---|---|
//! | `keep` | what is kept between starts, and how |
//! | `exchange` | one order, driven by an HTTP client |
//! | `renewal` | when to order again |
//!
//! ```rust,ignore
//! let certificates = Certificates::by_acme();
//! let tls = Tls::new(&ServerOptions::new(provider(), SeamClock::new(runtime.clone()), Arc::clone(&certificates)))?;
//! let options = AcmeOptions { names: vec!["example.org".into()], terms_agreed: true, ..AcmeOptions::new(trust) };
//! let renewal = Renewal::begin(runtime.clone(), options, keep, certificates).await; // on one shard
//! runtime.spawn("acme", renewal.run()).detach();
//! ```

mod exchange;
mod keep;
mod renewal;

pub use keep::{ACCOUNT, CERTIFICATE, Keep, PENDING};
pub use renewal::Renewal;
pub use shroud_acme::{Error as OrderError, OrderConfig};

use shroud_rustls::rustls::Error as TlsError;
use shroud_rustls::{AcmeKeyError, CertificateError, ConfigError, Trust};
use std::io;
use std::time::Duration;

/// Let's Encrypt's directory.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What to obtain, and of whom.
#[derive(Debug, Clone)]
pub struct AcmeOptions {
    /// The DNS names, all in one certificate.
    pub names: Vec<String>,
    /// The server's directory. Default [`LETS_ENCRYPT`].
    pub directory: String,
    /// Where the server may write to, such as `mailto:admin@example.org`. Default nowhere.
    pub contact: Vec<String>,
    /// The operator agrees to the server's terms of service. Default no.
    pub terms_agreed: bool,
    /// Which ACME servers to believe.
    pub trust: Trust,
}

impl AcmeOptions {
    /// No names yet, and defaults.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self {
            names: Vec::new(),
            directory: LETS_ENCRYPT.into(),
            contact: Vec::new(),
            terms_agreed: false,
            trust,
        }
    }

    /// Whether something can be ordered with them.
    ///
    /// # Errors
    /// [`OrderError`], which says what to change.
    pub fn validate(&self) -> Result<(), OrderError> {
        self.order(Vec::new()).validate()
    }

    fn order(&self, request: Vec<u8>) -> OrderConfig {
        OrderConfig {
            directory: self.directory.clone(),
            names: self.names.clone(),
            contact: self.contact.clone(),
            terms_agreed: self.terms_agreed,
            request,
        }
    }
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// The server, or what it was told.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The server could not be asked.
    #[error("{url}: {source}")]
    Client {
        /// What was asked for.
        url: String,
        /// Why not.
        source: Box<crate::http::ClientError>,
    },
    /// A key.
    #[error(transparent)]
    Key(#[from] AcmeKeyError),
    /// What was kept, or could not be.
    #[error("{name}: {source}")]
    Keep {
        /// The file's name.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What the server issued cannot be used.
    #[error("the certificate that was issued cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    /// It is for other names.
    #[error("the certificate that was issued is not for `{0}`")]
    Name(String),
    /// TLS towards the server.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The library.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl AcmeError {
    /// When the server wants to be asked again, if it has said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Order(error) => error.retry_after(),
            _ => None,
        }
    }
}

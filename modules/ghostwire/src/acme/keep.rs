//! What is kept between starts: the account's key, and the certificate in one file with its key.

use super::{AcmeError, AcmeOptions};
use shroud_runtime::Runtime;
use shroud_rustls::{AccountKey, Certificate, CertificateError, CertificateKey, provider};
use std::io;
use std::sync::Arc;

/// The account's key, as PEM.
pub const ACCOUNT: &str = "account-key.pem";
/// The certificate's key and its chain, as PEM: together, so that there is never half of a pair.
pub const CERTIFICATE: &str = "certificate.pem";
/// The key of the certificate that is being ordered, as PEM. Used for the next order, if this one does not come to an end.
pub const PENDING: &str = "pending-key.pem";

/// Where keys and certificates are kept. Called where blocking is allowed.
pub trait Keep: Send + Sync {
    /// What was kept by this name; `None` if nothing was.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Keeps `content` by this name, for the owner's eyes only. When it returns, that outlives a crash; a crash before leaves
    /// what was there.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<()>;

    /// Keeps nothing by this name any longer.
    ///
    /// # Errors
    /// When it cannot be removed. That there is nothing is no error.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// What is kept, through the seam.
#[derive(Clone)]
pub(super) struct Kept<R> {
    pub(super) runtime: R,
    pub(super) keep: Arc<dyn Keep>,
}

impl<R: Runtime> Kept<R> {
    /// The account's key. A new one is kept before anybody hears of it.
    pub(super) async fn account(&self) -> Result<AccountKey, AcmeError> {
        if let Some(text) = self.read(ACCOUNT).await? {
            return Ok(AccountKey::from_pem(&String::from_utf8_lossy(&text))?);
        }
        let key = AccountKey::generate(|out| self.runtime.fill(out))?;
        self.write(ACCOUNT, key.pem().as_bytes().to_vec()).await?;
        Ok(key)
    }

    /// A key for the next certificate, kept before anything is signed for it.
    pub(super) async fn key(&self) -> Result<CertificateKey, AcmeError> {
        let used = self.read(CERTIFICATE).await?.unwrap_or_default();
        if let Some(text) = self.read(PENDING).await?
            && let Ok(key) = CertificateKey::from_pem(&String::from_utf8_lossy(&text))
            // Else its certificate has come, and only this copy was not removed.
            && !contains(&used, key.pem().as_bytes())
        {
            return Ok(key);
        }
        let key = CertificateKey::generate(|out| self.runtime.fill(out))?;
        self.write(PENDING, key.pem().as_bytes().to_vec()).await?;
        Ok(key)
    }

    /// The certificate that was obtained before; `None` if there is none of this server and for these names that can be used. One that
    /// can be used later only is an error.
    pub(super) async fn certificate(&self, options: &AcmeOptions) -> Result<Option<Certificate>, AcmeError> {
        let Some(text) = self.read(CERTIFICATE).await? else { return Ok(None) };
        if !text.starts_with(origin(options).as_bytes()) {
            tracing::warn!("the certificate that was kept is of another ACME server: another one is ordered");
            return Ok(None);
        }
        let read = Certificate::from_pem(&text, &text, self.runtime.unix_time(), &provider());
        match read.map_err(AcmeError::from).and_then(|found| covers(&found, options).map(|()| found)) {
            Ok(certificate) => Ok(Some(certificate)),
            // Another one would be no better.
            Err(error @ AcmeError::Certificate(CertificateError::NotYetValid { .. })) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the certificate that was kept cannot be used: another one is ordered");
                Ok(None)
            }
        }
    }

    /// Examines what was issued, and keeps it with its key before it is used.
    pub(super) async fn issued(
        &self,
        chain: &str,
        key: &CertificateKey,
        options: &AcmeOptions,
    ) -> Result<Certificate, AcmeError> {
        let text = [origin(options).as_bytes(), key.pem().as_bytes(), chain.as_bytes()].concat();
        let read = Certificate::from_pem(&text, &text, self.runtime.unix_time(), &provider());
        let early = matches!(read, Err(CertificateError::NotYetValid { .. }));
        if !early {
            covers(read.as_ref().map_err(Clone::clone)?, options)?;
        }
        // One that is not valid yet is kept too: by a clock that is slow.
        self.write(CERTIFICATE, text).await?;
        let keep = Arc::clone(&self.keep);
        if let Err(error) = self.offload(PENDING, move || keep.remove(PENDING)).await {
            tracing::warn!(%error, "the key of the certificate that was obtained is kept twice");
        }
        Ok(read?)
    }

    async fn read(&self, name: &'static str) -> Result<Option<Vec<u8>>, AcmeError> {
        let keep = Arc::clone(&self.keep);
        self.offload(name, move || keep.read(name)).await
    }

    async fn write(&self, name: &'static str, content: Vec<u8>) -> Result<(), AcmeError> {
        let keep = Arc::clone(&self.keep);
        self.offload(name, move || keep.write(name, &content)).await
    }

    async fn offload<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, AcmeError> {
        let done = self.runtime.offload(work).await.map_err(io::Error::from).and_then(|result| result);
        done.map_err(|source| AcmeError::Keep { name, source })
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}

/// What a kept certificate begins with: whose it is. PEM is read from its first line on (RFC 7468, 2).
fn origin(options: &AcmeOptions) -> String {
    format!("Obtained from {}\n", options.directory)
}

/// Whether a certificate is for all the names.
fn covers(certificate: &Certificate, options: &AcmeOptions) -> Result<(), AcmeError> {
    let missing = options
        .names
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .find(|name| !certificate.names().contains(name));
    missing.map_or(Ok(()), |name| Err(AcmeError::Name(name)))
}

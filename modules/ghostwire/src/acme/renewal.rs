//! When to order again.

use super::keep::{Keep, Kept};
use super::{AcmeError, AcmeOptions, exchange};
use shroud_runtime::{Runtime, RuntimeExt};
use shroud_rustls::{Certificate, CertificateError, Certificates};
use std::sync::Arc;
use std::time::Duration;

/// After a failure; each further one in a row doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause after a failure, also when the server wants a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);

/// The wall clock is looked at so often: it may be set, and a machine may sleep.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// A renewal comes earlier by up to this part of a certificate's lifetime, so that many servers do not come at once.
const JITTER: u32 = 30;

/// Keeps a server's certificate in order.
///
/// [`Renewal::begin`] comes before the port is served, so that what was kept is shown from the first client on;
/// [`Renewal::run`] beside it, on one shard.
pub struct Renewal<R> {
    kept: Kept<R>,
    options: AcmeOptions,
    certificates: Arc<Certificates>,
    /// When to order, since the Unix epoch.
    due: Duration,
    /// When the one that is used expires; zero: none is.
    expires: Duration,
}

impl<R: Runtime> Renewal<R> {
    /// Installs what was kept in `certificates`, made by [`Certificates::by_acme`]. If that cannot be used, the reason is
    /// logged, and another one will be ordered.
    ///
    /// Cancel safety: a dropped call has changed nothing.
    pub async fn begin(
        runtime: R,
        options: AcmeOptions,
        keep: Arc<dyn Keep>,
        certificates: Arc<Certificates>,
    ) -> Self {
        let kept = Kept { runtime, keep };
        let (due, expires) = (Duration::ZERO, Duration::ZERO);
        let mut renewal = Self { kept, options, certificates, due, expires };
        match renewal.kept.certificate(&renewal.options).await {
            Ok(Some(certificate)) => {
                renewal.install(certificate);
                tracing::info!(names = ?renewal.options.names, "the certificate that was kept is used");
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "what was kept cannot be read"),
        }
        renewal
    }

    /// Orders a certificate when there is none or when two thirds of its lifetime are over, until the node is asked to stop;
    /// tries again after failures, which are logged. Connections go on.
    ///
    /// Cancel safety: dropping the future gives an order up; what it has kept is used by the next one.
    pub async fn run(self) {
        let runtime = self.kept.runtime.clone();
        let _ = runtime.until_stopping(Box::pin(self.go_on())).await;
    }

    async fn go_on(mut self) {
        let runtime = self.kept.runtime.clone();
        let mut pause = FIRST_PAUSE;
        loop {
            while let Some(left) = self.due.checked_sub(runtime.unix_time()).filter(|left| !left.is_zero()) {
                runtime.sleep(left.min(LOOK)).await;
            }
            match self.renew().await {
                Ok(certificate) => {
                    self.install(certificate);
                    tracing::info!(names = ?self.options.names, "a certificate was obtained; connections go on");
                    if self.due > runtime.unix_time() {
                        pause = FIRST_PAUSE;
                        continue;
                    }
                    let seconds = pause.as_secs();
                    tracing::warn!(
                        seconds,
                        "the certificate is to be renewed already: is the clock right? The next one is ordered after a pause"
                    );
                    runtime.sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
                // Nothing was asked of the server.
                Err(AcmeError::Certificate(error @ CertificateError::NotYetValid { .. })) => {
                    let seconds = FIRST_PAUSE.as_secs();
                    tracing::error!(%error, seconds, "the certificate that was kept cannot be used yet: is the clock right?");
                    runtime.sleep(FIRST_PAUSE).await;
                }
                Err(error) => {
                    let wait = error.retry_after().unwrap_or(pause).clamp(pause, LONGEST_PAUSE);
                    let seconds = wait.as_secs();
                    tracing::error!(%error, seconds, "no certificate was obtained; the next try is after a pause");
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    runtime.sleep(wait).await;
                }
            }
        }
    }

    async fn renew(&self) -> Result<Certificate, AcmeError> {
        let Self { kept, options, certificates, .. } = self;
        // It may have been unreadable, or the clock wrong, when it was looked at before.
        if let Some(found) = kept.certificate(options).await?.filter(|found| found.expires() > self.expires) {
            return Ok(found);
        }
        let account = kept.account().await?;
        let key = kept.key().await?;
        let request = key.request(&options.names)?;
        let issued = exchange::order(&kept.runtime, options, account, request, certificates).await?;
        tracing::debug!(account = issued.account, "the account that ordered");
        kept.issued(&issued.chain, &key, options).await
    }

    /// Uses it from now on, until it is due.
    fn install(&mut self, certificate: Certificate) {
        let mut chance = [0; 4];
        self.kept.runtime.fill(&mut chance);
        self.due = due(certificate.begins(), certificate.expires(), u32::from_ne_bytes(chance));
        self.expires = certificate.expires();
        if let Err(error) = self.certificates.replace(vec![certificate]) {
            tracing::error!(%error, "the certificate cannot be used");
        }
    }
}

/// When to renew: after two thirds of its time, and a little earlier by chance.
fn due(begins: Duration, expires: Duration, chance: u32) -> Duration {
    let life = expires.saturating_sub(begins);
    let early = life / JITTER * (chance % 1024) / 1024;
    begins.saturating_add(life / 3 * 2).saturating_sub(early)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_due_after_two_thirds_and_a_little_earlier_by_chance() {
        let day = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        assert_eq!(due(day(100), day(190), 0), day(160));
        let earliest = due(day(100), day(190), 1023);
        assert!(earliest > day(157) && earliest < day(158));
        assert_eq!(due(day(2), day(1), 5), day(2));
    }
}

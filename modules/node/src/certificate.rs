//! A server's certificate: loaded at the start, and anew when asked, or obtained by ACME; while connections go on.

use shroud_ghostwire::acme::{AcmeOptions, Keep, Renewal};
use shroud_ghostwire::http::Tls;
use shroud_ghostwire::tls::{Certificate, Certificates, SeamClock, ServerOptions, provider};
use shroud_runtime::sync::channel;
use shroud_runtime::{Runtime, Task};
use std::sync::Arc;
use std::time::Duration;

/// Gives a certificate at a time (since the Unix epoch), with entropy to make one of. Called where blocking is allowed; the
/// error says what to repair.
pub type LoadCertificate =
    Arc<dyn Fn(Duration, &mut dyn FnMut(&mut [u8])) -> Result<Certificate, String> + Send + Sync>;

/// Where a server's certificate comes from.
#[derive(Clone)]
#[non_exhaustive]
pub enum CertificateSource {
    /// It is there when the server starts.
    Loaded(LoadCertificate),
    /// It is obtained and renewed by ACME, proved on the port that is served. Until the first one is there, handshakes are
    /// refused.
    Acme {
        /// What to obtain, and of whom.
        options: AcmeOptions,
        /// Where keys and certificates are kept.
        keep: Arc<dyn Keep>,
    },
}

/// What keeps a certificate in order.
pub(crate) enum Upkeep<R: Runtime> {
    /// It is loaded anew when asked: with how.
    Loaded(LoadCertificate, Arc<Certificates>, channel::Receiver<()>),
    /// It is obtained.
    Acme(Box<Renewal<R>>),
}

impl<R: Runtime> Upkeep<R> {
    /// Begins: when the port is served, as it is there that names are proved.
    pub(crate) fn begin(self, runtime: &R) -> Task<()> {
        match self {
            Self::Loaded(load, certificates, asked) => {
                runtime.spawn("certificate", renew(runtime.clone(), load, certificates, asked))
            }
            Self::Acme(renewal) => runtime.spawn("acme", renewal.run()),
        }
    }
}

/// The TLS that all shards share, the certificate and the keys of tickets; and what keeps the certificate in order. What is loaded
/// is loaded anew with each message of `asked`. To be called on one shard.
pub(crate) async fn tls<R: Runtime>(
    runtime: &R,
    source: &CertificateSource,
    asked: Option<channel::Receiver<()>>,
) -> Result<(Tls, Option<Upkeep<R>>), String> {
    match source {
        CertificateSource::Loaded(load) => {
            let certificates = Certificates::new(vec![certificate(runtime, load).await?])
                .map_err(|error| error.to_string())?;
            let tls = with(runtime, &certificates)?;
            let upkeep = asked.map(|asked| Upkeep::Loaded(Arc::clone(load), certificates, asked));
            Ok((tls, upkeep))
        }
        CertificateSource::Acme { options, keep } => {
            let certificates = Certificates::by_acme();
            let tls = with(runtime, &certificates)?;
            let (options, keep) = (options.clone(), Arc::clone(keep));
            let renewal = Renewal::begin(runtime.clone(), options, keep, certificates).await;
            Ok((tls, Some(Upkeep::Acme(Box::new(renewal)))))
        }
    }
}

fn with<R: Runtime>(runtime: &R, certificates: &Arc<Certificates>) -> Result<Tls, String> {
    let options = ServerOptions::new(provider(), SeamClock::new(runtime.clone()), Arc::clone(certificates));
    Tls::new(&options).map_err(|error| error.to_string())
}

/// Loads the certificate anew each time that is asked for, until nobody can ask any more. One that cannot be used is
/// reported, and the old one stays.
async fn renew<R: Runtime>(
    runtime: R,
    load: LoadCertificate,
    certificates: Arc<Certificates>,
    asked: channel::Receiver<()>,
) {
    while asked.recv().await.is_ok() {
        let loaded = match certificate(&runtime, &load).await {
            Ok(certificate) => certificates.replace(vec![certificate]).map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        match loaded {
            Ok(()) => tracing::info!("the certificate was loaded anew; connections go on"),
            Err(error) => tracing::error!(%error, "the new certificate cannot be used: the old one stays"),
        }
    }
}

async fn certificate<R: Runtime>(runtime: &R, load: &LoadCertificate) -> Result<Certificate, String> {
    let (load, entropy, now) = (Arc::clone(load), runtime.clone(), runtime.unix_time());
    let loaded = runtime.offload(move || load(now, &mut |out: &mut [u8]| entropy.fill(out))).await;
    loaded.map_err(|error| error.to_string())?
}

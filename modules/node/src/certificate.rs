//! A server's certificate: loaded at the start, and anew when asked, while connections go on.

use shroud_ghostwire::http::Tls;
use shroud_ghostwire::tls::{Certificate, Certificates, SeamClock, ServerOptions, provider};
use shroud_runtime::Runtime;
use shroud_runtime::sync::channel;
use std::sync::Arc;
use std::time::Duration;

/// Gives a certificate at a time (since the Unix epoch), with entropy to make one of. Called where blocking is allowed; the
/// error says what to repair.
pub type LoadCertificate =
    Arc<dyn Fn(Duration, &mut dyn FnMut(&mut [u8])) -> Result<Certificate, String> + Send + Sync>;

/// The TLS that all shards share: the certificate, and the keys of tickets.
pub(crate) async fn tls<R: Runtime>(runtime: &R, load: &LoadCertificate) -> Result<Tls, String> {
    let certificates =
        Certificates::new(vec![certificate(runtime, load).await?]).map_err(|error| error.to_string())?;
    let options = ServerOptions::new(provider(), SeamClock::new(runtime.clone()), certificates);
    Tls::new(&options).map_err(|error| error.to_string())
}

/// Loads the certificate anew each time that is asked for, until nobody can ask any more. One that cannot be used is
/// reported, and the old one stays.
pub(crate) async fn renew<R: Runtime>(
    runtime: R,
    load: LoadCertificate,
    tls: Tls,
    asked: channel::Receiver<()>,
) {
    while asked.recv().await.is_ok() {
        let loaded = match certificate(&runtime, &load).await {
            Ok(certificate) => {
                tls.certificates().replace(vec![certificate]).map_err(|error| error.to_string())
            }
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

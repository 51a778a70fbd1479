//! TLS whose keys come from the seed.

use futures_util::io::copy;
use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt};
use shroud_runtime::net::ListenerExt;
use shroud_runtime::{ConnectOptions, Runtime, RuntimeExt};
use shroud_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use shroud_rustls::{Certificate, Certificates, ClientOptions, SeamClock, ServerOptions, Trust, alpn};
use shroud_sim::SimRuntime;
use shroud_tls_sim::{InsecureSimulatedProvider, insecure_certificate};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// What the server's certificate is for.
pub const NAME: &str = "node";

/// One end of TLS, and what its keys are drawn by: keep it for as long as sessions are made.
#[derive(Clone, Debug)]
pub struct End<C> {
    /// What sessions are made with.
    pub config: Arc<C>,
    _provider: InsecureSimulatedProvider,
}

/// A server's end, on the host of `runtime`.
///
/// # Errors
/// A sentence.
pub fn server(runtime: &SimRuntime) -> Result<End<ServerConfig>, String> {
    let provider = InsecureSimulatedProvider::new(runtime.io().clone());
    let (certificate, key) = insecure_certificate(NAME).map_err(|error| error.to_string())?;
    let now = runtime.unix_time();
    let certificate = Certificate::new(vec![certificate], key, now, &provider.provider())
        .map_err(|error| error.to_string())?;
    let certificates = Certificates::new(vec![certificate]).map_err(|error| error.to_string())?;
    let options = ServerOptions::new(provider.provider(), SeamClock::new(runtime.clone()), certificates);
    let config = options.protocols(&[alpn::HTTP_1_1]).config().map_err(|error| error.to_string())?;
    Ok(End { config: Arc::new(config), _provider: provider })
}

/// Ends TLS in front of a server that speaks plainly, on the same host.
///
/// # Errors
/// A sentence, when it can accept nothing more.
pub async fn terminate<R: Runtime>(
    runtime: R,
    mut listener: R::Listener,
    inside: SocketAddr,
    config: Arc<ServerConfig>,
) -> Result<(), String> {
    loop {
        let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        let (runtime_of_one, config) = (runtime.clone(), Arc::clone(&config));
        let one = async move {
            // An error is how connections over bad links end. Both sides see it.
            let _ended = pass_on(&runtime_of_one, stream, inside, &config).await;
        };
        runtime.spawn("tls-connection", one).detach();
    }
}

async fn pass_on<R: Runtime>(
    runtime: &R,
    stream: R::Stream,
    inside: SocketAddr,
    config: &Arc<ServerConfig>,
) -> io::Result<()> {
    let shaken = runtime.timeout(HANDSHAKE, shroud_rustls::accept(stream, config)).await;
    let outer =
        shaken.map_err(|_| io::ErrorKind::TimedOut)?.map_err(|failed| io::Error::other(failed.error))?;
    let inner = runtime.connect(inside, ConnectOptions::default()).await?;
    let ((outer_read, mut outer_write), (inner_read, mut inner_write)) = (outer.split(), inner.split());
    let requests = async {
        copy(outer_read, &mut inner_write).await?;
        inner_write.close().await
    };
    let answers = async {
        copy(inner_read, &mut outer_write).await?;
        outer_write.close().await
    };
    // The server has said all: whatever a client still sends is for nobody.
    let mut requests = pin!(requests.fuse());
    let mut answers = pin!(answers.fuse());
    loop {
        futures_util::select_biased! {
            answered = answers => return answered,
            sent = requests => sent?,
        }
    }
}

/// A client's end, on the host of `runtime`: it believes the server's certificate alone and resumes its sessions.
///
/// # Errors
/// A sentence.
pub fn client(runtime: &SimRuntime) -> Result<End<ClientConfig>, String> {
    let provider = InsecureSimulatedProvider::new(runtime.io().clone());
    let (certificate, _) = insecure_certificate(NAME).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(|error| error.to_string())?;
    let trust = Trust::Anchors(Arc::new(roots));
    let options = ClientOptions::new(provider.provider(), SeamClock::new(runtime.clone()), trust);
    let config = options.protocols(&[alpn::HTTP_1_1]).config().map_err(|error| error.to_string())?;
    Ok(End { config: Arc::new(config), _provider: provider })
}

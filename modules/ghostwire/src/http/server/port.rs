//! One port, all protocols: TCP and UDP on the same number, on every shard.

use shroud_quic::{BindError, Endpoint, EndpointConfig, Group, Secrets};
use shroud_runtime::net::Listener as _;
use shroud_runtime::sync::OnceCell;
use shroud_runtime::{DatagramOptions, ListenOptions, Runtime, RuntimeExt};
use shroud_rustls::rustls::ServerConfig;
use shroud_rustls::{Certificates, ConfigError, ServerOptions, alpn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Sessions of QUIC clients that a server remembers, so that they may send early data (0-RTT) next time: about 4 MiB.
const SESSIONS: usize = 4096;

/// Free TCP ports whose number in UDP is taken, one after the other, before giving up.
const ATTEMPTS: u32 = 32;

/// A socket may close a moment after its drop: this often it is looked again, two seconds in all.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// A server's TLS, for HTTP/1.1 and HTTP/2 over TCP and for HTTP/3 over QUIC. Clones are the same, and all shards share one.
#[derive(Debug, Clone)]
pub struct Tls {
    certificates: Arc<Certificates>,
    tcp: Arc<ServerConfig>,
    quic: Arc<ServerConfig>,
}

impl Tls {
    /// The TLS of `options`, whose protocols (ALPN), versions and early data are set here.
    ///
    /// Early data (0-RTT) is taken over QUIC only, each session once, and there for safe requests only
    /// ([`Server::serve_http3`](super::Server::serve_http3)).
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(options: &ServerOptions) -> Result<Self, ConfigError> {
        let tcp = options.clone().protocols(options.certificates().http_protocols()).early_data(0);
        let quic = options.clone().protocols(&[alpn::H3]).only_tls_13().early_data(SESSIONS);
        Ok(Self {
            certificates: Arc::clone(options.certificates()),
            tcp: Arc::new(tcp.config()?),
            quic: Arc::new(quic.config()?),
        })
    }

    /// The certificates: [`Certificates::replace`] changes them for handshakes that begin afterwards, over TCP and QUIC;
    /// connections go on.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    pub(super) fn tcp(&self) -> &Arc<ServerConfig> {
        &self.tcp
    }
}

/// An address that is to be served over all protocols, by all shards of a node. Clones are the same address.
#[derive(Debug, Clone)]
pub struct OnePort {
    wanted: SocketAddr,
    tls: Option<Tls>,
    quic: Option<shroud_quic::ServerConfig>,
    endpoint: EndpointConfig,
    bound: Arc<OnceCell<Option<Bound>>>,
}

/// What the first shard has settled for the others.
#[derive(Debug, Clone)]
struct Bound {
    address: SocketAddr,
    group: Option<Group>,
}

/// One shard's sockets on an [`OnePort`], for [`Server::serve_port`](super::Server::serve_port).
pub struct Port<R: Runtime> {
    pub(super) listener: R::Listener,
    pub(super) endpoints: Vec<Endpoint<R>>,
    pub(super) tls: Option<Tls>,
    address: SocketAddr,
}

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// In TCP.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// In UDP.
    #[error("cannot bind {address} in UDP, for HTTP/3: {source}")]
    Quic {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: BindError,
    },
    /// The first shard could not, and says why.
    #[error("the first shard could not bind the address")]
    Elsewhere,
}

impl OnePort {
    /// HTTP/1.1 and HTTP/2 in the clear, on `address`; port 0 picks a free one.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let (endpoint, bound) = (EndpointConfig::default(), Arc::default());
        Self { wanted: address, tls: None, quic: None, endpoint, bound }
    }

    /// HTTP/1.1, HTTP/2 and HTTP/3 with TLS, and nothing in the clear.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        let quic = Some(shroud_quic::ServerConfig::new(Arc::clone(&tls.quic)));
        Self { tls: Some(tls), quic, ..self }
    }

    /// No HTTP/3: UDP stays untouched.
    #[must_use]
    pub fn without_http3(self) -> Self {
        Self { quic: None, ..self }
    }

    /// Changes limits and transport parameters of QUIC, of an address with TLS. As made, they are QUIC's own defaults for each
    /// endpoint: one a shard, or one a worker thread where a shard has several.
    #[must_use]
    pub fn with_quic(mut self, change: impl FnOnce(&mut shroud_quic::ServerConfig)) -> Self {
        if let Some(quic) = &mut self.quic {
            change(quic);
        }
        self
    }

    /// Binds this shard's sockets: call it once on each shard. Shard 0 goes first and picks the port; the others wait for it. An
    /// address that somebody else serves is refused, although the shards share it (SO_REUSEPORT).
    ///
    /// Cancel safety: a dropped call binds nothing; if it was shard 0's, the others wait on.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn bind<R: Runtime>(&self, runtime: &R) -> Result<Port<R>, PortError> {
        if runtime.shard().index == 0 {
            let first = self.bind_first(runtime).await;
            let bound = first.as_ref().ok().map(|(_, bound)| bound.clone());
            let _ = self.bound.set(bound).await;
            return Ok(first?.0);
        }
        let Some(bound) = self.bound.wait().await.clone() else { return Err(PortError::Elsewhere) };
        let Bound { address, group } = bound;
        let listener = runtime.listen(address, shared(runtime)).await;
        let listener = listener.map_err(|source| PortError::Listen { address, source })?;
        let endpoints = self.endpoints(runtime, address, group.as_ref()).await;
        let endpoints = endpoints.map_err(|source| PortError::Quic { address, source })?;
        Ok(Port { listener, endpoints, tls: self.tls.clone(), address })
    }

    async fn bind_first<R: Runtime>(&self, runtime: &R) -> Result<(Port<R>, Bound), PortError> {
        let failed = |source| PortError::Listen { address: self.wanted, source };
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            let listener = self.listen_first(runtime).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            match self.endpoints_first(runtime, address).await {
                Ok((endpoints, group)) => {
                    let port = Port { listener, endpoints, tls: self.tls.clone(), address };
                    return Ok((port, Bound { address, group }));
                }
                Err(BindError::Io(error)) if self.wanted.port() == 0 && attempts > 0 && is_taken(&error) => {}
                Err(source) => return Err(PortError::Quic { address, source }),
            }
        }
    }

    /// The shards share the address by SO_REUSEPORT, which would let a second server join in: that is refused by listening
    /// alone for a moment before.
    async fn listen_first<R: Runtime>(&self, runtime: &R) -> io::Result<R::Listener> {
        let options = shared(runtime);
        if !options.reuse_port || self.wanted.port() == 0 {
            return runtime.listen(self.wanted, options).await;
        }
        drop(runtime.listen(self.wanted, ListenOptions { reuse_port: false, ..options }).await?);
        for _ in 0..LOOKS {
            match runtime.listen(self.wanted, options).await {
                Err(error) if is_taken(&error) => runtime.sleep(PAUSE).await,
                bound => return bound,
            }
        }
        runtime.listen(self.wanted, options).await
    }

    /// The same in UDP.
    async fn endpoints_first<R: Runtime>(
        &self,
        runtime: &R,
        address: SocketAddr,
    ) -> Result<(Vec<Endpoint<R>>, Option<Group>), BindError> {
        if self.quic.is_none() {
            return Ok((Vec::new(), None));
        }
        let alone = DatagramOptions { reuse_port: false, ..DatagramOptions::default() };
        drop(runtime.bind(address, alone).await?);
        let shard = runtime.shard();
        let members = if shard.count > 1 { shard.count } else { shard.workers };
        let mut looks = LOOKS;
        loop {
            looks -= 1;
            let group = Group::new(members, Secrets::generate(runtime));
            match self.endpoints(runtime, address, Some(&group)).await {
                Err(BindError::Io(error)) if looks > 0 && is_taken(&error) => runtime.sleep(PAUSE).await,
                endpoints => return Ok((endpoints?, Some(group))),
            }
        }
    }

    /// One endpoint for each thread that this shard has.
    async fn endpoints<R: Runtime>(
        &self,
        runtime: &R,
        address: SocketAddr,
        group: Option<&Group>,
    ) -> Result<Vec<Endpoint<R>>, BindError> {
        let mut endpoints = Vec::new();
        let (Some(quic), Some(group)) = (&self.quic, group) else { return Ok(endpoints) };
        let shard = runtime.shard();
        let mine = if shard.count > 1 { 1 } else { shard.workers.min(group.members()) };
        for _ in 0..mine {
            let member = group.join().ok_or_else(|| io::Error::other("too many shards for QUIC"))?;
            endpoints.push(Endpoint::member(runtime, address, &self.endpoint, quic, member).await?);
        }
        Ok(endpoints)
    }
}

impl<R: Runtime> Port<R> {
    /// The bound address, of all its protocols.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether HTTP/3 is among them.
    #[must_use]
    pub fn has_http3(&self) -> bool {
        !self.endpoints.is_empty()
    }
}

impl<R: Runtime> std::fmt::Debug for Port<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("address", &self.address).field("quic", &self.endpoints).finish()
    }
}

fn shared<R: Runtime>(runtime: &R) -> ListenOptions {
    ListenOptions { reuse_port: runtime.shard().count > 1, ..ListenOptions::default() }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

//! The node: the modules composed over one runtime, shard by shard.

use crate::certificate::{self, Upkeep};
pub use crate::certificate::{CertificateSource, LoadCertificate};
use crate::probe::{Probe, ProbeSummary};
use crate::rpc::Rpc;
use shroud_covenant::Covenant;
use shroud_ghostwire::grpc::{self, HEALTH_DESCRIPTORS, Health, Reflection, ServingStatus};
use shroud_ghostwire::http::{
    Cors, Limits, Metrics, OnePort, Port, PortError, Router, Server, handler_fn, json, text,
};
use shroud_ghostwire::rpc::{RpcHandler, RpcLimits, over_websocket};
use shroud_ghostwire::{pages, websocket};
use shroud_ledger::genesis::Genesis;
use shroud_ledger::store::{Store, StoreError};
use shroud_runtime::sync::OnceCell;
use shroud_runtime::{Class, Runtime};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The node's ledger: the journal over the seam, its state in fjall.
pub type Ledger<R> = shroud_keystone::Ledger<R>;

/// Opens the store of the state in a directory. Called where blocking is allowed.
pub type OpenStore = Arc<dyn Fn(&Path) -> Result<Arc<dyn Store>, StoreError> + Send + Sync>;

/// What a node does.
#[derive(Clone)]
pub struct NodeConfig {
    /// The chain.
    pub genesis: Genesis,
    /// Where journal and state are kept.
    pub data: PathBuf,
    /// What keeps the state there; fjall, unless told otherwise.
    pub store: OpenStore,
    /// Where HTTP and JSON-RPC are served; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Serve over TLS with this certificate, and over HTTP/3 too, on the same port in UDP; in the clear without.
    pub certificate: Option<CertificateSource>,
    /// With each message, a certificate that is loaded is loaded anew, for connections that begin afterwards.
    pub reload: Option<shroud_runtime::sync::channel::Receiver<()>>,
    /// The HTTP server's limits, on each shard.
    pub limits: Limits,
    /// The JSON-RPC server's limits.
    pub rpc: RpcLimits,
    /// The ledger's settings. No more requests wait for an earlier nonce than half of what `limits` lets in.
    pub keystone: shroud_keystone::Config,
    /// The bounds on view calls and estimates.
    pub covenant: shroud_covenant::Settings,
}

impl NodeConfig {
    /// Where nodes listen unless told otherwise: Ethereum's usual port, on this machine only.
    pub const DEFAULT_LISTEN: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8545);

    /// Defaults for everything else.
    #[must_use]
    pub fn new(genesis: Genesis, data: PathBuf) -> Self {
        // A deployment of the largest code, in hex, with its envelope.
        let message = 2 * shroud_ledger::transaction::MAX_DEPLOY_BYTES + 4096;
        let mut rpc = RpcLimits::default();
        rpc.message.bytes = message;
        let limits = Limits { body_bytes: message as u64, ..Limits::default() };
        Self {
            genesis,
            data,
            store: Arc::new(|state| Ok(Arc::new(shroud_fjall::FjallStore::open(state)?))),
            listen: Self::DEFAULT_LISTEN,
            certificate: None,
            reload: None,
            limits,
            rpc,
            keystone: shroud_keystone::Config::default(),
            covenant: shroud_covenant::Settings::default(),
        }
    }
}

/// Why a node ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The configuration cannot be.
    #[error("{0}")]
    Config(Arc<str>),
    /// The address could not be bound.
    #[error("cannot listen on {address}: {reason}; choose another with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        reason: Arc<str>,
    },
    /// The certificate cannot be used.
    #[error("cannot serve over TLS: {0}")]
    Certificate(Arc<str>),
    /// The ledger could not be opened.
    #[error("cannot open the ledger in {data}: {reason}")]
    Ledger {
        /// Its directory.
        data: Arc<str>,
        /// Why not.
        reason: Arc<str>,
    },
    /// The server broke.
    #[error("the server stopped: {0}")]
    Serve(Arc<str>),
    /// The ledger did not end well: the journal has everything that was acknowledged.
    #[error("the ledger stopped: {0}")]
    Stop(Arc<str>),
}

/// What is called with the server's address once every shard accepts connections.
type OnReady = Box<dyn Fn(SocketAddr) + Send + Sync>;

/// A node, to be run on each shard of one backend. A cheap clone.
pub struct Node<R: Runtime> {
    shared: Arc<Shared<R>>,
}

struct Shared<R: Runtime> {
    config: NodeConfig,
    on_ready: OnReady,
    started: OnceCell<Option<Started<R>>>,
    listening: AtomicUsize,
    serving: shroud_runtime::sync::channel::Sender<()>,
    served: shroud_runtime::sync::channel::Receiver<()>,
    metrics: Metrics,
    sockets: websocket::Metrics,
    probe: Probe,
}

/// What shard 0 has opened for all.
#[derive(Clone)]
struct Started<R: Runtime> {
    on: OnePort,
    ledger: Ledger<R>,
    covenant: Covenant<R>,
}

impl<R: Runtime> Clone for Node<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<R: Runtime> std::fmt::Debug for Node<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("data", &self.shared.config.data).finish_non_exhaustive()
    }
}

impl<R: Runtime> Node<R> {
    /// A node that calls `on_ready` with its address once every shard accepts connections.
    ///
    /// # Errors
    /// [`NodeError::Config`] naming the first setting that cannot be.
    pub fn new(
        config: NodeConfig,
        on_ready: impl Fn(SocketAddr) + Send + Sync + 'static,
    ) -> Result<Self, NodeError> {
        let refuse = |error: &dyn std::fmt::Display| NodeError::Config(error.to_string().into());
        let mut config = config;
        // Transactions that wait for an earlier nonce hold their connections: half stay free for the earlier ones.
        let room = config.limits.requests.min(config.limits.connections) / 2;
        config.keystone.waiting = config.keystone.waiting.min(room.max(1));
        config.limits.validate().map_err(|error| refuse(&error))?;
        config.keystone.validate().map_err(|error| refuse(&error))?;
        let (serving, served) = shroud_runtime::sync::channel::unbounded();
        let shared = Shared {
            config,
            on_ready: Box::new(on_ready),
            started: OnceCell::new(),
            listening: AtomicUsize::new(0),
            serving,
            served,
            metrics: Metrics::new(),
            sockets: websocket::Metrics::new(),
            probe: Probe::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Runs this shard's part: shard 0 opens the ledger, every shard serves; ready after the node was asked to stop and
    /// requests in work were answered. Shard 0 then closes the ledger.
    ///
    /// # Errors
    /// [`NodeError`] from the shard where it happened; the others stop without one.
    pub async fn run(self, runtime: R) -> Result<(), NodeError> {
        let result =
            if runtime.shard().index == 0 { self.lead(&runtime).await } else { self.follow(&runtime).await };
        if result.is_err() {
            // One shard down: the node goes down, in order.
            runtime.stopping().cancel();
        }
        result
    }

    async fn lead(&self, runtime: &R) -> Result<(), NodeError> {
        let opened = self.open(runtime).await;
        let (port, started, upkeep) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let _ = self.shared.started.set(None).await;
                return Err(error);
            }
        };
        let ledger = started.ledger.clone();
        let _ = self.shared.started.set(Some(started.clone())).await;
        let _upkeep = upkeep.map(|upkeep| upkeep.begin(runtime));
        let served = self.serve(runtime, port, started).await;
        if served.is_err() {
            runtime.stopping().cancel();
        }
        // Other shards may still be answering; they tell when they are done.
        for _ in 1..runtime.shard().count {
            let _ = self.shared.served.recv().await;
        }
        let closed = ledger.stop().await.map_err(|error| NodeError::Stop(error.to_string().into()));
        served.and(closed)
    }

    async fn follow(&self, runtime: &R) -> Result<(), NodeError> {
        let _done = TellOnDrop(self.shared.serving.clone());
        // Shard 0 reports why there is nothing to serve.
        let Some(started) = self.shared.started.wait().await.clone() else { return Ok(()) };
        let port = started.on.bind(runtime).await?;
        let started = Started { covenant: started.covenant.on_shard(runtime.clone()), ..started };
        let ledger = started.ledger.on_shard(runtime.clone());
        self.serve(runtime, port, Started { ledger, ..started }).await
    }

    /// Binds the address first, so that a busy one is known before a long recovery, then opens the ledger.
    async fn open(&self, runtime: &R) -> Result<(Port<R>, Started<R>, Option<Upkeep<R>>), NodeError> {
        let config = &self.shared.config;
        let mut on = OnePort::new(config.listen);
        let mut upkeep = None;
        if let Some(source) = &config.certificate {
            let tls = certificate::tls(runtime, source, config.reload.clone()).await;
            let (tls, kept) = tls.map_err(|reason| NodeError::Certificate(reason.into()))?;
            upkeep = kept;
            on = on.with_tls(tls).with_quic(|quic| quic.limits.connections = config.limits.connections);
        }
        let port = on.bind(runtime).await?;
        let refuse = |reason: String| NodeError::Ledger {
            data: config.data.display().to_string().into(),
            reason: reason.into(),
        };
        let state = config.data.join("state");
        runtime.create_dir_all(&config.data).await.map_err(|error| refuse(error.to_string()))?;
        let open_store = Arc::clone(&config.store);
        let store = runtime.offload(move || open_store(&state)).await;
        let store =
            store.map_err(|error| refuse(error.to_string()))?.map_err(|error| refuse(error.to_string()))?;
        let (genesis, keystone) = (config.genesis.clone(), config.keystone.clone());
        let ledger = Ledger::open(runtime.clone(), &config.data, genesis, store, keystone)
            .await
            .map_err(|error| refuse(error.to_string()))?;
        let covenant = Covenant::new(
            runtime.clone(),
            ledger.engine().clone(),
            ledger.code_cache().clone(),
            config.covenant,
        );
        Ok((port, Started { on, ledger, covenant }, upkeep))
    }

    async fn serve(&self, runtime: &R, port: Port<R>, started: Started<R>) -> Result<(), NodeError> {
        let shared = &self.shared;
        let probe = shared.probe.run(runtime.clone());
        let _probe = runtime.spawn_in(Class::Monitoring, "scheduling-probe", probe);
        let address = port.local_addr();
        let health = Health::new(runtime);
        let (failing, told) = (started.ledger.clone(), health.clone());
        let _health = runtime.spawn_in(Class::Monitoring, "grpc-health", async move {
            failing.failed().await;
            told.set("", ServingStatus::NotServing);
        });
        let router = services(runtime, &health)?.mount(self.router(runtime, started));
        let server = Server::new(router, shared.config.limits.clone())
            .map_err(|error| NodeError::Config(error.to_string().into()))?
            .with_metrics(shared.metrics.clone());
        if shared.listening.fetch_add(1, Ordering::SeqCst) + 1 == runtime.shard().count {
            (shared.on_ready)(address);
        }
        server.serve_port(runtime, port).await.map_err(|error| NodeError::Serve(error.to_string().into()))
    }

    fn router(&self, runtime: &R, started: Started<R>) -> Router {
        let Started { ledger, covenant, .. } = started;
        let (ready, counters) = (ledger.clone(), ledger.clone());
        let (probed, reset) = ((self.clone(), runtime.clone()), (self.clone(), runtime.clone()));
        let rpc = RpcHandler::new(Rpc::new(runtime.clone(), ledger, covenant), self.shared.config.rpc);
        let sockets = websocket::Options {
            policy: websocket::Policy {
                // As for HTTP: nothing here depends on who asks.
                origins: websocket::Origins::Any,
                compression: Some(websocket::Compression::default()),
                ..websocket::Policy::default()
            },
            metrics: self.shared.sockets.clone(),
            ..websocket::Options::default()
        };
        let socket_counters = self.shared.sockets.clone();
        Router::new()
            .get("/", over_websocket(rpc.clone(), sockets))
            .any("/", Cors::any(rpc))
            .get("/health", pages::health())
            .get(
                "/ready",
                pages::ready(move || ready.failure().map_or(Ok(()), |reason| Err(reason.to_string()))),
            )
            .get(
                "/metrics",
                pages::metrics(runtime.clone(), self.shared.metrics.clone(), move |out| {
                    socket_counters.render(out);
                    counters.render_metrics(out);
                }),
            )
            .get("/debug/tasks", pages::tasks(runtime.clone()))
            .get(
                "/debug/probe",
                handler_fn(move |_| {
                    let summary = serde_json::to_string(&probed.0.probe(&probed.1)).unwrap_or_default();
                    async move { json(summary) }
                }),
            )
            .post(
                "/debug/probe/reset",
                handler_fn(move |_| {
                    reset.0.shared.probe.reset(&reset.1);
                    async { text("reset\n") }
                }),
            )
            .get("/plain", handler_fn(|_| async { text("Hello, world!") }))
    }

    /// How long ready tasks waited and single polls took, over all shards, since the start or the last
    /// `POST /debug/probe/reset`.
    #[must_use]
    pub fn probe(&self, runtime: &R) -> ProbeSummary {
        self.shared.probe.summary(runtime)
    }
}

/// What the node answers over gRPC: whether it serves, and what there is to ask.
fn services<R: Runtime>(runtime: &R, health: &Health) -> Result<grpc::Server, NodeError> {
    let reflection = Reflection::new(runtime, [HEALTH_DESCRIPTORS])
        .map_err(|error| NodeError::Config(error.to_string().into()))?;
    Ok(grpc::Server::new(runtime, grpc::Options::default())
        .with(health.service())
        .with(reflection.service())
        .with(reflection.service_v1alpha()))
}

impl From<PortError> for NodeError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Listen { address, source } => {
                Self::Listen { address, reason: source.to_string().into() }
            }
            PortError::Quic { address, source } => {
                let reason = format!("{source} (in UDP, for HTTP/3)");
                Self::Listen { address, reason: reason.into() }
            }
            error => Self::Serve(error.to_string().into()),
        }
    }
}

/// Tells shard 0 that this shard is done, however it ends.
struct TellOnDrop(shroud_runtime::sync::channel::Sender<()>);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

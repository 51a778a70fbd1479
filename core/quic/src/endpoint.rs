//! A socket and the connections over it.

use crate::backlog::Backlogs;
use crate::cell::{Cell, Hold};
use crate::config::{ClientConfig, EndpointConfig, InvalidConfig, ServerConfig};
use crate::connecting::Connecting;
use crate::connection_id::Generator;
use crate::driver::{Driver, Rebind};
use crate::error::ConnectError;
use crate::group::{Group, Member};
use crate::secrets::{Secrets, entropy};
use crate::shard::{Core, EndpointStats, Serving, Shared};
use bytes::Bytes;
use quinn_proto::{TimeSource, VarInt};
use shroud_runtime::{Datagram, DatagramOptions, Runtime};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// QUIC version 1, the only one spoken here.
const VERSIONS: [u32; 1] = [1];

/// A UDP socket with the QUIC connections over it: a server, a client, or both. Clones are the same endpoint.
///
/// Its task is a child of the task that made the endpoint and ends with it; connections then fail with
/// [`ConnectionError::EndpointGone`](crate::ConnectionError::EndpointGone). When the last handle is dropped, no more connections are
/// accepted; those that are open go on, and the task ends with the last of them.
pub struct Endpoint<R: Runtime> {
    runtime: R,
    shared: Arc<Shared>,
    rebind: Rebind<R::Socket>,
    group: Group,
    options: DatagramOptions,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The socket could not be bound.
    #[error("binding the endpoint's socket failed: {0}")]
    Io(#[from] io::Error),
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
}

impl<R: Runtime> Endpoint<R> {
    /// An endpoint that only makes connections.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn client(
        runtime: &R,
        address: SocketAddr,
        config: &EndpointConfig,
    ) -> Result<Self, BindError> {
        Self::bind(runtime, address, config, None, alone(runtime)).await
    }

    /// An endpoint that accepts connections, and can make some.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn server(
        runtime: &R,
        address: SocketAddr,
        config: &EndpointConfig,
        server: &ServerConfig,
    ) -> Result<Self, BindError> {
        Self::bind(runtime, address, config, Some(server), alone(runtime)).await
    }

    /// A server as a member of a group on one address: one a shard, each bound on its own.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn member(
        runtime: &R,
        address: SocketAddr,
        config: &EndpointConfig,
        server: &ServerConfig,
        member: Member,
    ) -> Result<Self, BindError> {
        Self::bind(runtime, address, config, Some(server), Some(member)).await
    }

    async fn bind(
        runtime: &R,
        address: SocketAddr,
        config: &EndpointConfig,
        server: Option<&ServerConfig>,
        member: Option<Member>,
    ) -> Result<Self, BindError> {
        config.validate()?;
        let member = member.ok_or_else(|| io::Error::other("the group has no place left"))?;
        let group = member.group.clone();
        let entropy = entropy(runtime);
        let machine = {
            let clock = runtime.clone();
            let time = Arc::new(WallClock(Box::new(move || clock.unix_time())));
            server.map(|server| server.build(group.secrets(), group.used(), time)).transpose()?
        };
        let options = DatagramOptions {
            reuse_port: config.reuse_port.unwrap_or(group.members() > 1),
            receive_buffer: config.receive_buffer,
            send_buffer: config.send_buffer,
        };
        let socket = runtime.bind(address, options).await?;
        let (reader, index, ids) = (group.reader(), member.index, Arc::clone(&entropy));
        let mut seed = [0; 32];
        runtime.fill(&mut seed);
        let mut protocol = quinn_proto::EndpointConfig::new(group.secrets().reset_key());
        protocol
            .cid_generator(move || Box::new(Generator::new(reader, index, Arc::clone(&ids))))
            .supported_versions(VERSIONS.to_vec())
            .min_reset_interval(config.reset_interval)
            .rng_seed(Some(seed))
            .max_udp_payload_size(config.max_udp_payload)
            .map_err(|_| InvalidConfig::Range {
                name: "max_udp_payload",
                value: config.max_udp_payload.into(),
                least: 1200,
                most: 65_527,
            })?;
        let may_fragment = socket.capabilities().may_fragment;
        let core = Core {
            endpoint: quinn_proto::Endpoint::new(
                Arc::new(protocol),
                machine.map(Arc::new),
                !may_fragment,
                None,
            ),
            slots: Vec::new(),
            closing: BTreeMap::new(),
            server: server.map(|server| Serving { limits: server.limits, retry: server.retry }),
            stats: EndpointStats::default(),
            backlogs: Backlogs::default(),
            address: socket.local_addr()?,
            closed: false,
            limit: server.map_or(CLIENT_CONNECTIONS, |server| server.limits.connections),
        };
        let clock = runtime.clone();
        let shared = Shared::new(Box::new(move || clock.now()), entropy, core);
        if server.is_none() {
            shared.end_incoming();
        }
        let rebind: Rebind<R::Socket> = Arc::new(Mutex::new(None));
        let driver = Driver::new(
            runtime.clone(),
            socket,
            Arc::clone(&rebind),
            Arc::clone(&shared),
            member,
            usize::from(config.max_udp_payload),
        );
        shared.handles.fetch_add(1, Ordering::Relaxed);
        runtime.spawn("quic endpoint", driver).detach();
        Ok(Self { runtime: runtime.clone(), shared, rebind, group, options })
    }

    /// Connects to a server. The handshake goes on by itself; await the result for the connection, or see
    /// [`Connecting::into_0rtt`].
    ///
    /// # Errors
    /// [`ConnectError`], before anything is sent.
    pub fn connect(
        &self,
        config: &ClientConfig,
        address: SocketAddr,
        server_name: &str,
    ) -> Result<Connecting, ConnectError> {
        let now = self.runtime.now();
        let hold = {
            let mut core = self.shared.core();
            if core.closed {
                return Err(ConnectError::Closed);
            }
            if core.stats.connections >= core.limit {
                return Err(ConnectError::Limit(core.limit));
            }
            let config_now = config.build(&self.shared.entropy);
            let (index, machine) =
                core.endpoint.connect(now, config_now, address, server_name).map_err(|error| {
                    use quinn_proto::ConnectError as Proto;
                    match error {
                        Proto::InvalidServerName(name) => ConnectError::ServerName(name),
                        Proto::InvalidRemoteAddress(address) => ConnectError::Address(address),
                        _ => ConnectError::Closed,
                    }
                })?;
            core.stats.connected += 1;
            let cell = Cell::new(index, Arc::clone(&self.shared), machine);
            core.insert(Arc::clone(&cell), now + config.handshake_time, false);
            Hold::new(cell)
        };
        hold.transmit();
        Ok(Connecting::new(hold))
    }

    /// Takes the next client's connection; `None` when the endpoint is closed, has ended or is no server. Cancel safe.
    pub async fn accept(&self) -> Option<Connecting> {
        let mut waiting = None;
        poll_fn(|cx| {
            loop {
                if let Some(listener) = &mut waiting {
                    std::task::ready!(std::future::Future::poll(Pin::new(listener), cx));
                    waiting = None;
                }
                let mut incoming = self.shared.incoming();
                if let Some(connecting) = incoming.waiting.pop_front() {
                    return std::task::Poll::Ready(Some(connecting));
                }
                if incoming.ended {
                    return std::task::Poll::Ready(None);
                }
                waiting = Some(self.shared.arrived.listen());
            }
        })
        .await
    }

    /// Moves the endpoint to a socket of another address, as after a change of network: connections made from here go on over
    /// it (RFC 9000 9).
    ///
    /// # Errors
    /// As `bind(2)`; the endpoint then stays where it is.
    pub async fn rebind(&self, address: SocketAddr) -> io::Result<()> {
        let socket = self.runtime.bind(address, self.options).await?;
        let local = socket.local_addr()?;
        self.shared.core().address = local;
        *self.rebind.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        self.shared.wake();
        Ok(())
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.core().address
    }

    /// What the endpoint has done and is doing.
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        self.shared.core().stats
    }

    /// The group that it is a member of.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Puts another configuration in place for connections accepted from now on.
    ///
    /// # Errors
    /// [`InvalidConfig`]; the old one then stays.
    pub fn set_server_config(&self, server: &ServerConfig) -> Result<(), InvalidConfig> {
        let clock = self.runtime.clone();
        let time = Arc::new(WallClock(Box::new(move || clock.unix_time())));
        let machine = server.build(self.group.secrets(), self.group.used(), time)?;
        let mut core = self.shared.core();
        core.endpoint.set_server_config(Some(Arc::new(machine)));
        core.server = Some(Serving { limits: server.limits, retry: server.retry });
        core.limit = server.limits.connections;
        Ok(())
    }

    /// Takes no more clients' connections on; those that are open go on. [`Endpoint::accept`] ends when the ones that wait were
    /// taken.
    pub fn stop_accepting(&self) {
        self.shared.core().server = None;
        self.shared.incoming().ended = true;
        self.shared.arrived.notify(usize::MAX);
    }

    /// Closes the endpoint and all its connections at once, with an application's code and words for the peers. Wait with
    /// [`Endpoint::wait_idle`] until they had time to hear of it.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        self.shared.close(code, &Bytes::copy_from_slice(reason));
    }

    /// Waits until no connection is left: closed ones stay for three probe time-outs, to answer what is still on its way.
    /// Cancel safe.
    pub async fn wait_idle(&self) {
        loop {
            let listener = {
                let core = self.shared.core();
                if core.stats.connections == 0 {
                    return;
                }
                self.shared.idle.listen()
            };
            listener.await;
        }
    }
}

/// Connections that an endpoint without a server may make at a time.
const CLIENT_CONNECTIONS: usize = 100_000;

fn alone<R: Runtime>(runtime: &R) -> Option<Member> {
    Group::new(1, Secrets::generate(runtime)).join()
}

impl<R: Runtime> Clone for Endpoint<R> {
    fn clone(&self) -> Self {
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Self {
            runtime: self.runtime.clone(),
            shared: Arc::clone(&self.shared),
            rebind: Arc::clone(&self.rebind),
            group: self.group.clone(),
            options: self.options,
        }
    }
}

impl<R: Runtime> Drop for Endpoint<R> {
    fn drop(&mut self) {
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.core().closed = true;
            self.shared.end_incoming();
            self.shared.wake();
        }
    }
}

impl<R: Runtime> std::fmt::Debug for Endpoint<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("address", &self.local_addr()).finish_non_exhaustive()
    }
}

/// The seam's wall clock, for the age of tokens.
struct WallClock(Box<dyn Fn() -> Duration + Send + Sync>);

impl TimeSource for WallClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + (self.0)()
    }
}

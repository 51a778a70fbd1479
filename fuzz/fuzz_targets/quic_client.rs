//! A QUIC client and a hostile server of it: packets that are sealed as they should be and say anything, Retry and Version
//! Negotiation for the connection that is being made, and datagrams of any bytes, for a connection or for none. Never a
//! panic; every attempt to connect ends, and the endpoint's other connections work all along.
//!
//! The input is cut into pieces: a byte that says what a piece is, a byte for its length, and its bytes.
#![no_main]

extern crate self as shroud;
pub use shroud_runtime as runtime;

#[allow(dead_code, reason = "shared with other targets")]
mod memory;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/e2e/src/quic/support.rs"]
mod support;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/e2e/src/quic_hostile/tamper.rs"]
mod tamper;
/// As the tests name it.
mod quic {
    pub(crate) use crate::support;
}

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use memory::{Memory, MemoryRuntime, MemorySocket};
use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::crypto::{Keys, ServerConfig as Crypto, Session, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionHandle, ConnectionId, DatagramEvent, Event, Incoming};
use shroud_quic::{Connecting, Connection};
use shroud_runtime::net::DatagramExt;
use shroud_runtime::{Datagram, DatagramOptions, Runtime, RuntimeExt, Task};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use support::{Identity, NAME, Pair, local};
use tamper::{Plan, Space};

/// Pieces of one input.
const PIECES: usize = 30;
/// One round trip, and time to spare.
const STEP: Duration = Duration::from_millis(5);

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(Identity::generate)
}

fuzz_target!(|input: &[u8]| {
    let memory = Memory::new();
    let (runtime, input) = (memory.runtime.clone(), input.to_vec());
    let mut story = memory.runtime.spawn("story", async move { story(runtime, &input).await });
    let cx = &mut Context::from_waker(Waker::noop());
    // Longer than any timer of a connection.
    for _ in 0..30_000 {
        memory.advance(Duration::from_millis(10));
        if let Poll::Ready(ended) = Pin::new(&mut story).poll(cx) {
            ended.expect("the story ends well");
            return;
        }
    }
    panic!("an attempt to connect does not end");
});

async fn story(runtime: MemoryRuntime, input: &[u8]) {
    let pair = Pair::with(&runtime, &identity().server(), identity().client()).await;
    let (client, server) = pair.connect().await;
    exchange(&client, &server).await;
    let mut hostile: Option<Hostile> = None;
    let mut attempts: Vec<Task<()>> = Vec::new();
    let mut rest = input;
    for _ in 0..PIECES {
        let [what, length, later @ ..] = rest else { break };
        let (bytes, later) = later.split_at(usize::from(*length).min(later.len()));
        rest = later;
        let kind = what % 8;
        match kind {
            // Frames of an established connection, the packet's first byte perhaps with more bits.
            0..=2 => {
                if !matches!(&hostile, Some(server) if server.established && !server.lost) {
                    let mut server = Hostile::attend(&runtime, Plan::default(), &pair, &mut attempts).await;
                    server.handshake().await;
                    hostile = Some(server);
                }
                let Some(server) = &mut hostile else { continue };
                server.inject(if kind == 2 { 0x3f & what } else { 0 }, bytes.to_vec()).await;
            }
            // Frames of a handshake.
            3 => {
                let plan = Plan::default();
                plan.frames(if what & 0x80 == 0 { Space::Initial } else { Space::Handshake }, bytes.to_vec());
                let mut server = Hostile::attend(&runtime, plan, &pair, &mut attempts).await;
                server.handshake().await;
            }
            // Answers to a first packet that keep no state: once, or again to what comes of it.
            4..=6 => {
                let mut server = Hostile::attend(&runtime, Plan::default(), &pair, &mut attempts).await;
                for _ in 0..=what >> 7 {
                    server.answer(kind, *what, bytes).await;
                }
                server.handshake().await;
            }
            // Any bytes, for the connection there is if the bit says so.
            _ => {
                let Some(server) = &hostile else { continue };
                let mut datagram = Vec::new();
                if what & 0x80 != 0 {
                    datagram.push(0x40 | what >> 3 & 0x3f);
                    datagram.extend(&server.client_id);
                }
                datagram.extend(bytes);
                let _ = server.socket.send_to(&datagram, pair.client.local_addr()).await;
            }
        }
        exchange(&client, &server).await;
    }
    drop(hostile);
    for attempt in attempts {
        attempt.await.expect("it ends well");
    }
    // The first ones may have idled for too long meanwhile.
    let (client, server) = pair.connect().await;
    exchange(&client, &server).await;
}

async fn exchange(client: &Connection, server: &Connection) {
    let mut send = server.open_uni().await.expect("a stream");
    send.write_all(b"still served").await.expect("written");
    send.finish().expect("finished");
    let mut receive = client.accept_uni().await.expect("a stream");
    assert_eq!(receive.read_to_end(100).await.expect("read"), b"still served");
}

/// An attempt to connect, and a connection that does what one can do, until it ends.
async fn attempt(connecting: Connecting) {
    let Ok(connection) = connecting.await else { return };
    let ask = async {
        let Ok((mut send, mut receive)) = connection.open_bi().await else { return };
        let _ = send.write_all(b"a question").await;
        let _ = send.finish();
        let _ = receive.read_to_end(1000).await;
        let _ = send.stopped().await;
    };
    let streams = async {
        while let Ok(mut receive) = connection.accept_uni().await {
            let _ = receive.read_to_end(1000).await;
        }
    };
    let echo = async {
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let bytes = receive.read_to_end(1000).await.unwrap_or_default();
            let _ = send.write_all(&bytes).await;
        }
    };
    let datagrams = async {
        while let Ok(datagram) = connection.read_datagram().await {
            let _ = connection.send_datagram(datagram);
        }
    };
    futures_util::join!(ask, streams, echo, datagrams);
}

/// A server of one connection, on a socket of its own.
struct Hostile {
    runtime: MemoryRuntime,
    socket: MemorySocket,
    endpoint: quinn_proto::Endpoint,
    crypto: Arc<Tampering>,
    connection: Option<(ConnectionHandle, quinn_proto::Connection)>,
    client: SocketAddr,
    /// The connection ids of the client's last first packet: whom it is for, whom it is from.
    server_id: Vec<u8>,
    client_id: Vec<u8>,
    established: bool,
    lost: bool,
    buffer: Vec<u8>,
}

struct Tampering {
    plan: Plan,
    inner: Arc<QuicServerConfig>,
}

impl Crypto for Tampering {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        Ok(self.plan.keys(Space::Initial, self.inner.initial_keys(version, id)?))
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.inner.retry_tag(version, id, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        self.plan.session(Crypto::start_session(Arc::clone(&self.inner), version, params))
    }
}

impl Hostile {
    /// A server to which the client has begun to connect.
    async fn attend(
        runtime: &MemoryRuntime,
        plan: Plan,
        pair: &Pair<MemoryRuntime>,
        attempts: &mut Vec<Task<()>>,
    ) -> Self {
        let inner = QuicServerConfig::try_from(Arc::new(identity().server_tls())).expect("a configuration");
        let crypto = Arc::new(Tampering { plan, inner: Arc::new(inner) });
        let mut config = quinn_proto::ServerConfig::with_crypto(Arc::clone(&crypto) as Arc<dyn Crypto>);
        let mut transport = quinn_proto::TransportConfig::default();
        // Every packet is of a size that is known.
        transport.mtu_discovery_config(None);
        config.transport_config(Arc::new(transport));
        let endpoint = quinn_proto::Endpoint::new(Arc::default(), Some(Arc::new(config)), true, None);
        let socket = runtime.bind(local(), DatagramOptions::default()).await.expect("a socket");
        let to = socket.local_addr().expect("an address");
        if let Ok(connecting) = pair.client.connect(&pair.config, to, NAME) {
            attempts.push(runtime.spawn("attempt", attempt(connecting)));
        }
        Self {
            runtime: runtime.clone(),
            socket,
            endpoint,
            crypto,
            connection: None,
            client: pair.client.local_addr(),
            server_id: Vec::new(),
            client_id: Vec::new(),
            established: false,
            lost: false,
            buffer: vec![0; 65_536],
        }
    }

    async fn handshake(&mut self) {
        for _ in 0..8 {
            self.step().await;
        }
    }

    /// Sends a packet with these frames once the congestion window lets it.
    async fn inject(&mut self, bits: u8, frames: Vec<u8>) {
        if !self.established {
            return;
        }
        self.crypto.plan.packet(Space::OneRtt, bits, frames);
        for _ in 0..20 {
            if let Some((_, connection)) = &mut self.connection {
                // A datagram makes a packet of that size.
                let _ = connection.datagrams().send(Bytes::from(vec![0; 1000]), true);
            }
            self.step().await;
            if self.crypto.plan.waiting() == 0 || self.lost {
                return;
            }
        }
    }

    /// Takes a first packet, and sends what needs no state: Retry, Version Negotiation, or a packet that nothing has sealed.
    async fn answer(&mut self, kind: u8, what: u8, bytes: &[u8]) {
        let received = self.runtime.timeout(Duration::from_secs(1), self.socket.recv(&mut self.buffer)).await;
        let Ok(Ok(meta)) = received else { return };
        self.see(meta.len);
        let version: u32 = if kind == 5 { 0 } else { 1 };
        let form = if kind == 4 { 0xf0 | what >> 4 } else { 0xc0 | what >> 4 };
        let mut packet = vec![form];
        packet.extend(version.to_be_bytes());
        packet.push(u8::try_from(self.client_id.len()).expect("20 at most"));
        packet.extend(&self.client_id);
        if kind == 4 {
            // A connection id of its own.
            let (id, token) = bytes.split_at(bytes.len().min(usize::from(what >> 3 & 7)));
            packet.push(u8::try_from(id.len()).expect("7 at most"));
            packet.extend(id);
            packet.extend(token);
            let first = ConnectionId::new(&self.server_id);
            packet.extend(self.crypto.retry_tag(1, &first, &packet));
        } else {
            packet.push(u8::try_from(self.server_id.len()).expect("20 at most"));
            packet.extend(&self.server_id);
            packet.extend(bytes);
        }
        let _ = self.socket.send_to(&packet, self.client).await;
    }

    /// Reads the ids from a long header (RFC 9000 17.2).
    fn see(&mut self, length: usize) {
        let [first, _, _, _, _, rest @ ..] = &self.buffer[..length] else { return };
        if first & 0xf0 != 0xc0 {
            return;
        }
        let mut ids = rest;
        let mut id = || {
            let (length, after) = ids.split_first()?;
            let (id, after) = after.split_at_checked(usize::from(*length))?;
            ids = after;
            Some(id.to_vec())
        };
        let (Some(server), Some(client)) = (id(), id()) else { return };
        (self.server_id, self.client_id) = (server, client);
    }

    async fn flush(&mut self) {
        let Some((handle, connection)) = &mut self.connection else { return };
        let mut packet = Vec::new();
        let now = self.runtime.now();
        while let Some(transmit) = connection.poll_transmit(now, 1, &mut packet) {
            let _ = self.socket.send_to(&packet[..transmit.size], self.client).await;
            packet.clear();
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            self.established |= matches!(event, Event::Connected);
            self.lost |= matches!(event, Event::ConnectionLost { .. });
        }
    }

    /// Sends, then takes what comes.
    async fn step(&mut self) {
        self.flush().await;
        while let Ok(Ok(meta)) = self.runtime.timeout(STEP, self.socket.recv(&mut self.buffer)).await {
            self.see(meta.len);
            let (now, data) = (self.runtime.now(), BytesMut::from(&self.buffer[..meta.len]));
            let mut answer = Vec::new();
            match self.endpoint.handle(now, meta.source, None, None, data, &mut answer) {
                Some(DatagramEvent::NewConnection(incoming)) => self.accept(incoming),
                Some(DatagramEvent::ConnectionEvent(_, event)) => {
                    if let Some((_, connection)) = &mut self.connection {
                        connection.handle_event(event);
                    }
                }
                Some(DatagramEvent::Response(_)) | None => {}
            }
            self.flush().await;
        }
        let now = self.runtime.now();
        if let Some((_, connection)) = &mut self.connection
            && connection.poll_timeout().is_some_and(|due| due <= now)
        {
            connection.handle_timeout(now);
        }
        self.flush().await;
    }

    fn accept(&mut self, incoming: Incoming) {
        if self.connection.is_some() {
            return self.endpoint.ignore(incoming);
        }
        self.connection = self.endpoint.accept(incoming, self.runtime.now(), &mut Vec::new(), None).ok();
    }
}

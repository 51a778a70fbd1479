//! A QUIC client whose packets say what a test wants: quinn-proto shakes hands, and the key that seals a packet puts other
//! frames into it first.

use crate::quic::support::{Identity, NAME, local};
use bytes::{Bytes, BytesMut};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::crypto::{
    ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{
    ConnectError, Connection, ConnectionError, ConnectionHandle, ConnectionId, DatagramEvent, Endpoint,
    Event, Side, TransportError,
};
use shroud::runtime::net::DatagramExt;
use shroud::runtime::{DatagramOptions, Runtime, RuntimeExt};
use std::any::Any;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Which packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's")]
pub enum Space {
    Initial,
    Handshake,
    OneRtt,
}

/// What to put into packets instead of what they had, shared with the keys.
#[derive(Clone, Default)]
pub struct Plan(Arc<Mutex<Planned>>);

/// A change to bytes, in place.
type Edit = Box<dyn FnOnce(&mut [u8]) + Send>;

#[derive(Default)]
struct Planned {
    packets: VecDeque<Packet>,
    /// The connection id that the client chose.
    own_id: Vec<u8>,
    hello: Option<Edit>,
}

struct Packet {
    space: Space,
    /// Bits to set in its first byte.
    bits: u8,
    frames: Vec<u8>,
}

impl Plan {
    /// The next packet of this kind with room for them has these frames, and padding.
    pub fn frames(&self, space: Space, frames: Vec<u8>) {
        self.packet(space, 0, frames);
    }

    /// The same, with more bits set in the packet's first byte.
    pub fn packet(&self, space: Space, bits: u8, frames: Vec<u8>) {
        self.0.lock().unwrap().packets.push_back(Packet { space, bits, frames });
    }

    /// Edits the ClientHello, in place.
    pub fn hello(&self, edit: impl FnOnce(&mut [u8]) + Send + 'static) {
        self.0.lock().unwrap().hello = Some(Box::new(edit));
    }

    /// Packets that were not sent yet.
    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap().packets.len()
    }

    /// The connection id that the server sends to.
    pub fn own_id(&self) -> Vec<u8> {
        self.0.lock().unwrap().own_id.clone()
    }

    /// Reads it from a long header (RFC 9000 17.2).
    fn see(&self, header: &[u8]) {
        let at = 6 + usize::from(header[5]);
        let own_id = header[at + 1..at + 1 + usize::from(header[at])].to_vec();
        self.0.lock().unwrap().own_id = own_id;
    }

    fn take(&self, space: Space, room: usize) -> Option<Packet> {
        let mut planned = self.0.lock().unwrap();
        let fits =
            planned.packets.front().is_some_and(|next| next.space == space && next.frames.len() <= room);
        fits.then(|| planned.packets.pop_front()).flatten()
    }

    fn key(&self, space: Space, inner: Box<dyn PacketKey>) -> Box<dyn PacketKey> {
        Box::new(TamperingKey { plan: self.clone(), space, inner })
    }

    /// Keys that seal what is planned.
    pub fn keys(&self, space: Space, keys: Keys) -> Keys {
        let KeyPair { local, remote } = keys.packet;
        Keys { header: keys.header, packet: KeyPair { local: self.key(space, local), remote } }
    }

    /// A session of either side with such keys.
    pub fn session(&self, inner: Box<dyn Session>) -> Box<dyn Session> {
        Box::new(TamperingSession { plan: self.clone(), inner, spaces: 0 })
    }
}

struct TamperingKey {
    plan: Plan,
    space: Space,
    inner: Box<dyn PacketKey>,
}

impl PacketKey for TamperingKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        if self.space == Space::Initial {
            self.plan.see(buf);
        }
        let end = buf.len() - self.inner.tag_len();
        if let Some(planned) = self.plan.take(self.space, end - header_len) {
            buf[0] |= planned.bits;
            let payload = &mut buf[header_len..end];
            payload.fill(0);
            payload[..planned.frames.len()].copy_from_slice(&planned.frames);
        }
        self.inner.encrypt(packet, buf, header_len);
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        self.inner.decrypt(packet, header, payload)
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}

struct TamperingConfig {
    plan: Plan,
    inner: Arc<QuicClientConfig>,
}

impl ClientConfig for TamperingConfig {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = ClientConfig::start_session(Arc::clone(&self.inner), version, server_name, params)?;
        Ok(self.plan.session(inner))
    }
}

struct TamperingSession {
    plan: Plan,
    inner: Box<dyn Session>,
    /// How many key changes there were.
    spaces: usize,
}

impl Session for TamperingSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.plan.keys(Space::Initial, self.inner.initial_keys(dst_cid, side))
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(buf)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let from = buf.len();
        let keys = self.inner.write_handshake(buf);
        let edit = self.plan.0.lock().unwrap().hello.take();
        if let Some(edit) = edit {
            edit(&mut buf[from..]);
        }
        keys.map(|keys| {
            self.spaces += 1;
            let space = if self.spaces == 1 { Space::Handshake } else { Space::OneRtt };
            self.plan.keys(space, keys)
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let KeyPair { local, remote } = self.inner.next_1rtt_keys()?;
        Some(KeyPair { local: self.plan.key(Space::OneRtt, local), remote })
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

/// A client on a socket of its own.
pub struct Client<R: Runtime> {
    runtime: R,
    socket: R::Socket,
    server: SocketAddr,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    /// The machine, for whatever a test wants of it.
    pub connection: Connection,
    /// What its packets say.
    pub plan: Plan,
    established: bool,
    lost: Option<ConnectionError>,
    buffer: Vec<u8>,
}

impl<R: Runtime> Client<R> {
    /// Begins a handshake; nothing is sent yet.
    pub async fn start(runtime: &R, tls: rustls::ClientConfig, server: SocketAddr, plan: Plan) -> Self {
        let inner = Arc::new(QuicClientConfig::try_from(Arc::new(tls)).unwrap());
        let crypto = Arc::new(TamperingConfig { plan: plan.clone(), inner });
        let mut config = quinn_proto::ClientConfig::new(crypto);
        let mut transport = quinn_proto::TransportConfig::default();
        // Every packet is of a size that is known.
        transport.mtu_discovery_config(None);
        config.transport_config(Arc::new(transport));
        let mut endpoint = Endpoint::new(Arc::default(), None, true, None);
        let (handle, connection) = endpoint.connect(runtime.now(), config, server, NAME).unwrap();
        Self {
            runtime: runtime.clone(),
            socket: runtime.bind(local(), DatagramOptions::default()).await.unwrap(),
            server,
            endpoint,
            handle,
            connection,
            plan,
            established: false,
            lost: None,
            buffer: vec![0; 65_536],
        }
    }

    /// A client whose handshake has ended.
    pub async fn connect(runtime: &R, identity: &Identity, server: SocketAddr, protocol: &[u8]) -> Self {
        let mut tls = identity.client_tls();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let mut client = Self::start(runtime, tls, server, Plan::default()).await;
        while !client.established {
            assert_eq!(client.lost, None);
            client.step(Duration::from_secs(1)).await;
        }
        client
    }

    /// Sends a packet with these frames (at most a thousand bytes) once the congestion window lets it.
    pub async fn inject(&mut self, frames: Vec<u8>) {
        self.inject_packet(0, frames).await;
    }

    /// The same, with more bits set in its first byte.
    pub async fn inject_packet(&mut self, bits: u8, frames: Vec<u8>) {
        self.plan.packet(Space::OneRtt, bits, frames);
        while self.plan.waiting() > 0 && self.lost.is_none() {
            // A datagram makes a packet of that size.
            let _ = self.connection.datagrams().send(Bytes::from(vec![0; 1000]), true);
            self.flush().await;
            if self.plan.waiting() > 0 {
                self.step(Duration::from_millis(5)).await;
            }
        }
    }

    /// Sends what there is to send.
    pub async fn flush(&mut self) {
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let now = self.runtime.now();
            let Some(transmit) = self.connection.poll_transmit(now, 1, &mut buffer) else { break };
            let _ = self.socket.send_to(&buffer[..transmit.size], self.server).await;
        }
        self.events();
    }

    fn events(&mut self) {
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(event);
            }
        }
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => self.established = true,
                Event::ConnectionLost { reason } => self.lost = Some(reason),
                _ => {}
            }
        }
    }

    /// Sends, then waits for a packet or a timer, for so long at most.
    pub async fn step(&mut self, most: Duration) {
        self.flush().await;
        let now = self.runtime.now();
        let due = self.connection.poll_timeout();
        let wait = due.map_or(most, |due| due.saturating_duration_since(now).min(most));
        let received = self.runtime.timeout(wait, self.socket.recv(&mut self.buffer)).await;
        let now = self.runtime.now();
        if let Ok(Ok(meta)) = received {
            let bytes = &self.buffer[..meta.len];
            for datagram in bytes.chunks(meta.stride.max(1)) {
                let mut answer = Vec::new();
                let data = BytesMut::from(datagram);
                let event = self.endpoint.handle(now, meta.source, None, None, data, &mut answer);
                if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
                    self.connection.handle_event(event);
                }
            }
        }
        if self.connection.poll_timeout().is_some_and(|due| due <= now) {
            self.connection.handle_timeout(now);
        }
        self.flush().await;
    }

    /// How the connection ended, when it has.
    pub fn lost(&self) -> Option<&ConnectionError> {
        self.lost.as_ref()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ConnectionError {
        loop {
            if let Some(lost) = &self.lost {
                return lost.clone();
            }
            self.step(Duration::from_secs(1)).await;
        }
    }
}

/// A variable-length integer (RFC 9000 16).
pub fn integer(value: u64) -> Vec<u8> {
    match value {
        0..0x40 => vec![value as u8],
        0x40..0x4000 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        0x4000..0x4000_0000 => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
    }
}

/// Integers one after the other.
pub fn integers(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| integer(*value)).collect()
}

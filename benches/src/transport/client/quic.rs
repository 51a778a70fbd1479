//! The client over QUIC: HTTP/3, handshakes, bulk, and many connections held.

use crate::histogram::Latencies;
use crate::load::Outcome;
use crate::proc::{self, Memory, Process};
use crate::transport::{
    Addresses, BULK_BYTE, Block, Certificates, HELLO, Identity, NAME, PIECE, TransportError, Workload,
};
use bytes::{Buf, Bytes};
use futures_util::future::{join_all, try_join_all};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig as TlsConfig, NamedGroup};
use shroud_h3::h3::client::SendRequest;
use shroud_quic::{ClientConfig, Connection, Endpoint, EndpointConfig, Transport, VarInt};
use shroud_runtime::sync::Event;
use shroud_runtime::{Backend, Runtime, RuntimeExt, Task};
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Field bytes of a response at most.
const FIELDS: u64 = 1 << 16;
/// Tickets that a lane keeps.
const TICKETS: usize = 8;
/// Handshakes that may be full although they were to be resumed: the first of each lane, and one in a hundred.
const FULL_SHARE: u64 = 100;
/// Connections that are opened or served at a time, when many are held: few enough for the socket buffer of a server that asks for none.
const LANES: usize = 16;
/// Longer than any measurement.
const LONG: Duration = Duration::from_secs(600);
/// After the last answer, until buffers that empty themselves have done so.
const SETTLE: Duration = Duration::from_millis(300);

/// Who polls the client over QUIC: a backend.
pub trait Drive {
    /// Does a job of [`measure`](super::super::measure).
    ///
    /// # Errors
    /// [`TransportError`].
    fn drive(&self, job: Job) -> Result<Vec<Block>, TransportError>;

    /// [`hold`] on this backend.
    ///
    /// # Errors
    /// [`TransportError`].
    fn hold(
        &self,
        address: SocketAddr,
        identity: &Arc<Identity>,
        process: &Process,
        numbers: &[usize],
    ) -> Result<Vec<Held>, TransportError>;
}

/// What a server that holds connections needs.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// How many it holds, each of which was served.
    pub connections: usize,
    /// What its process needs.
    pub memory: Memory,
    /// What the kernel holds for everybody, in bytes: both ends of every connection are in it.
    pub slab: u64,
}

impl Held {
    /// Reads what a server needs that holds so many connections.
    ///
    /// # Errors
    /// When it has ended.
    pub fn read(connections: usize, process: &Process) -> io::Result<Self> {
        Ok(Self { connections, memory: process.memory()?, slab: proc::slab_bytes()? })
    }
}

/// A workload over QUIC.
pub struct Job {
    workload: Workload,
    address: SocketAddr,
    tls: Vec<Lane>,
    certificates: Vec<Certificates>,
    process: Process,
    warm_up: Duration,
    lengths: Vec<Duration>,
}

/// The TLS of connections that are made one after the other.
struct Lane {
    tls: Arc<TlsConfig>,
    tickets: Arc<Tickets>,
}

impl Job {
    pub(in crate::transport) fn new(
        workload: Workload,
        addresses: Addresses,
        identity: &Identity,
        process: Process,
        warm_up: Duration,
        lengths: Vec<Duration>,
    ) -> Result<Self, rustls::Error> {
        let (lanes, resumed) = match workload {
            Workload::Handshake { lanes, resumed } => (lanes.max(1), resumed),
            _ => (1, false),
        };
        let protocol: &[u8] = if matches!(workload, Workload::Http3 { .. }) { b"h3" } else { b"bench" };
        let (mut tls, mut certificates) = (Vec::new(), Vec::new());
        for _ in 0..lanes {
            let (config, verified) = identity.client(protocol, true)?;
            certificates.push(verified);
            tls.push(Lane::new(&config, resumed));
        }
        Ok(Self { workload, address: addresses.of(workload), tls, certificates, process, warm_up, lengths })
    }

    async fn run<R: Runtime>(self, runtime: R) -> Result<Vec<Block>, String> {
        let client = Client::new(runtime, self.workload, self.address, &self.tls).await?;
        client.work(self.warm_up).await?;
        let mut blocks = Vec::new();
        for length in &self.lengths {
            let verified = self.verified();
            let before = self.process.usage().map_err(text)?;
            let outcome = client.work(*length).await?;
            let after = self.process.usage().map_err(text)?;
            if let Workload::Handshake { resumed, .. } = self.workload {
                let (full, all) = (self.verified() - verified, outcome.operations);
                if (resumed && full > all / FULL_SHARE) || (!resumed && full != all) {
                    return Err(format!("{full} of {all} handshakes were full"));
                }
            }
            blocks.push(Block { outcome, used: self.process.between(&before, &after) });
        }
        Ok(blocks)
    }

    fn verified(&self) -> u64 {
        self.certificates.iter().map(Certificates::verified).sum()
    }
}

impl<B: Backend> Drive for B {
    fn drive(&self, job: Job) -> Result<Vec<Block>, TransportError> {
        let ran = self.block_on(move |runtime| job.run(runtime)).map_err(text)?;
        Ok(ran.map_err(text)??)
    }

    fn hold(
        &self,
        address: SocketAddr,
        identity: &Arc<Identity>,
        process: &Process,
        numbers: &[usize],
    ) -> Result<Vec<Held>, TransportError> {
        let (identity, process, numbers) = (Arc::clone(identity), process.clone(), numbers.to_vec());
        let main = move |runtime| async move { hold(runtime, address, &identity, process, numbers).await };
        self.block_on(main).map_err(text)?.map_err(text)?
    }
}

/// What a workload needs from block to block.
struct Client<R: Runtime> {
    endpoint: Endpoint<R>,
    workload: Workload,
    address: SocketAddr,
    lanes: Vec<(ClientConfig, Arc<Tickets>)>,
    connections: Vec<Connection>,
    http: Vec<SendRequest<shroud_h3::OpenStreams, Bytes>>,
    _drivers: Vec<Task<()>>,
}

impl<R: Runtime> Client<R> {
    async fn new(runtime: R, workload: Workload, address: SocketAddr, tls: &[Lane]) -> Result<Self, String> {
        let endpoint = endpoint(&runtime).await?;
        let mut lanes = Vec::new();
        for lane in tls {
            lanes.push((config(&lane.tls)?, Arc::clone(&lane.tickets)));
        }
        let mut client = Self {
            endpoint,
            workload,
            address,
            lanes,
            connections: Vec::new(),
            http: Vec::new(),
            _drivers: Vec::new(),
        };
        match workload {
            Workload::Http3 { connections, .. } => {
                for _ in 0..connections {
                    let binding = shroud_h3::Connection::new(client.connect(0).await?, FIELDS);
                    let mut builder = shroud_h3::h3::client::builder();
                    let built = builder.max_field_section_size(FIELDS).send_grease(false);
                    let (mut driver, http) = built.build::<_, _, Bytes>(binding).await.map_err(text)?;
                    client.http.push(http);
                    client._drivers.push(runtime.spawn("http3", async move {
                        driver.wait_idle().await;
                    }));
                }
            }
            Workload::Bulk { .. } => client.connections.push(client.connect(0).await?),
            _ => {}
        }
        Ok(client)
    }

    async fn connect(&self, lane: usize) -> Result<Connection, String> {
        let (config, _) = &self.lanes[lane];
        self.endpoint.connect(config, self.address, NAME).map_err(text)?.await.map_err(text)
    }

    /// The workload for so long; what is under way then is finished.
    async fn work(&self, time: Duration) -> Result<Outcome, String> {
        let cpu_before = proc::thread_cpu_nanos().map_err(text)?;
        let until = Until { start: Instant::now(), time };
        let (latencies, operations) = match self.workload {
            Workload::Http3 { streams, .. } => {
                let lanes =
                    self.http.iter().flat_map(|http| (0..streams).map(move |_| self.requests(http, until)));
                let latencies = merged(try_join_all(lanes).await?);
                let count = latencies.count();
                (latencies, count)
            }
            Workload::Handshake { lanes, .. } => {
                let lanes = (0..lanes.max(1)).map(|lane| self.handshakes(lane, until));
                let latencies = merged(try_join_all(lanes).await?);
                let count = latencies.count();
                (latencies, count)
            }
            Workload::Bulk { megabytes, streams, up } => {
                let share = megabytes * 1_000_000 / streams.max(1) as u64;
                let lanes = self.connections.iter().flat_map(|connection| {
                    (0..streams.max(1)).map(move |_| transfers(connection, share, up, until))
                });
                let latencies = merged(try_join_all(lanes).await?);
                let megabytes = latencies.count() * share / 1_000_000;
                (latencies, megabytes)
            }
            Workload::Http1 { .. } | Workload::Http2 { .. } | Workload::WebSocket { .. } => {
                return Err("this is no workload over QUIC".into());
            }
        };
        let cpu = proc::thread_cpu_nanos().map_err(text)?.saturating_sub(cpu_before);
        Ok(Outcome {
            operations,
            elapsed: until.start.elapsed(),
            latencies,
            client_cpu: Duration::from_nanos(cpu),
            ..Outcome::default()
        })
    }

    async fn requests(
        &self,
        http: &SendRequest<shroud_h3::OpenStreams, Bytes>,
        until: Until,
    ) -> Result<Latencies, String> {
        let (mut http, mut latencies) = (http.clone(), Latencies::default());
        let uri: http::Uri = format!("https://{NAME}:{}/plain", self.address.port()).parse().map_err(text)?;
        while until.goes_on(latencies.count()) {
            let began = Instant::now();
            let request = http::Request::get(uri.clone()).body(()).map_err(text)?;
            let mut stream = http.send_request(request).await.map_err(text)?;
            stream.finish().await.map_err(text)?;
            let status = stream.recv_response().await.map_err(text)?.status();
            let mut body = Vec::new();
            while let Some(mut data) = stream.recv_data().await.map_err(text)? {
                body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
            if status != http::StatusCode::OK || body != HELLO {
                return Err(format!("status {status} with {:?}", String::from_utf8_lossy(&body)));
            }
            latencies.record(began.elapsed());
        }
        Ok(latencies)
    }

    async fn handshakes(&self, lane: usize, until: Until) -> Result<Latencies, String> {
        let (mut latencies, tickets) = (Latencies::default(), &self.lanes[lane].1);
        while until.goes_on(latencies.count()) {
            let had = tickets.received();
            let began = Instant::now();
            let connection = self.connect(lane).await?;
            latencies.record(began.elapsed());
            if connection.protocol().as_deref() != Some(b"bench") {
                return Err(format!("the server agreed to protocol {:?}", connection.protocol()));
            }
            // They come when the server has ended its part too. Whoever closes before that spares it some work.
            tickets.more_than(had).await;
            connection.close(VarInt::from_u32(0), b"");
        }
        Ok(latencies)
    }
}

#[derive(Clone, Copy)]
struct Until {
    start: Instant,
    time: Duration,
}

impl Until {
    fn goes_on(&self, done: u64) -> bool {
        done == 0 || self.start.elapsed() < self.time
    }
}

/// Transfers of `bytes` bytes, one after the other.
async fn transfers(connection: &Connection, bytes: u64, up: bool, until: Until) -> Result<Latencies, String> {
    let mut latencies = Latencies::default();
    while until.goes_on(latencies.count()) {
        let began = Instant::now();
        let (sent, wanted) = if up { (bytes, 0) } else { (0, bytes) };
        transfer(connection, sent, wanted).await?;
        latencies.record(began.elapsed());
    }
    Ok(latencies)
}

/// See [`serve`](crate::transport::serve).
async fn transfer(connection: &Connection, sent: u64, wanted: u64) -> Result<(), String> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(text)?;
    send.write_all(&wanted.to_be_bytes()).await.map_err(text)?;
    let piece = Bytes::from(vec![BULK_BYTE; PIECE.min(usize::try_from(sent).unwrap_or(PIECE))]);
    let mut left = sent;
    while left > 0 {
        let next = piece.slice(..piece.len().min(usize::try_from(left).unwrap_or(PIECE)));
        left -= next.len() as u64;
        send.write_chunk(next).await.map_err(text)?;
    }
    send.finish().map_err(text)?;
    let (mut head, mut body) = (Vec::new(), 0_u64);
    while let Some(mut chunk) = receive.read_chunk(usize::MAX).await.map_err(text)? {
        let missing = (8 - head.len()).min(chunk.len());
        head.extend_from_slice(&chunk.split_to(missing));
        if chunk.iter().any(|byte| *byte != BULK_BYTE) {
            return Err("a wrong byte of a transfer".into());
        }
        body += chunk.len() as u64;
    }
    if head != sent.to_be_bytes() || body != wanted {
        return Err(format!("the server took {head:?} of {sent} bytes, and gave {body} of {wanted}"));
    }
    Ok(())
}

/// Opens QUIC connections to a server ([`serve`](crate::transport::serve), or a peer) until there are so many, for each number in turn;
/// lets each of them echo; and reads the memory of the server's process when all are idle again.
///
/// # Errors
/// [`TransportError`], of whatever connection.
pub async fn hold<R: Runtime>(
    runtime: R,
    address: SocketAddr,
    identity: &Identity,
    process: Process,
    numbers: Vec<usize>,
) -> Result<Vec<Held>, TransportError> {
    let (tls, _) = identity.client(b"bench", false).map_err(text)?;
    let (endpoint, config) = (endpoint(&runtime).await?, config(&tls)?);
    let (mut connections, mut held) = (Vec::<Connection>::new(), Vec::new());
    for number in numbers {
        while connections.len() < number {
            let more = (number - connections.len()).min(LANES);
            let opened = (0..more).map(|_| async {
                endpoint.connect(&config, address, NAME).map_err(text)?.await.map_err(text)
            });
            let opened: Vec<Result<Connection, String>> = join_all(opened).await;
            for connection in opened {
                let index = connections.len();
                connections.push(connection.map_err(|error| format!("connection {index}: {error}"))?);
            }
        }
        for some in connections.chunks(LANES) {
            try_join_all(some.iter().map(|connection| transfer(connection, 100, 100))).await?;
        }
        runtime.sleep(SETTLE).await;
        held.push(Held::read(connections.len(), &process).map_err(text)?);
    }
    Ok(held)
}

async fn endpoint<R: Runtime>(runtime: &R) -> Result<Endpoint<R>, String> {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    Endpoint::client(runtime, local, &EndpointConfig::default()).await.map_err(text)
}

fn config(tls: &Arc<TlsConfig>) -> Result<ClientConfig, String> {
    let transport = Transport { idle_timeout: Some(LONG), ..Transport::default() };
    ClientConfig::new(Arc::clone(tls), &transport).map_err(text)
}

fn merged(all: Vec<Latencies>) -> Latencies {
    all.into_iter().fold(Latencies::default(), |mut sum, one| {
        sum.merge(&one);
        sum
    })
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Tickets of one lane, which tells when more have come.
#[derive(Debug)]
struct Tickets {
    cache: ClientSessionMemoryCache,
    /// Whether they are ever used.
    resumes: bool,
    received: AtomicUsize,
    more: Event,
}

impl Lane {
    fn new(tls: &TlsConfig, resumes: bool) -> Self {
        let tickets = Arc::new(Tickets {
            cache: ClientSessionMemoryCache::new(TICKETS),
            resumes,
            received: AtomicUsize::new(0),
            more: Event::new(),
        });
        let mut tls = tls.clone();
        tls.resumption = Resumption::store(Arc::<Tickets>::clone(&tickets));
        Self { tls: Arc::new(tls), tickets }
    }
}

impl Tickets {
    fn received(&self) -> usize {
        self.received.load(Ordering::Acquire)
    }

    async fn more_than(&self, had: usize) {
        while self.received() <= had {
            let more = self.more.listen();
            if self.received() <= had {
                more.await;
            }
        }
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.cache.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.cache.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.cache.set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.cache.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.cache.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.cache.insert_tls13_ticket(server_name, value);
        self.received.fetch_add(1, Ordering::Release);
        self.more.notify(usize::MAX);
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.cache.take_tls13_ticket(server_name).filter(|_| self.resumes)
    }
}

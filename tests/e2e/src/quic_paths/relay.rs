//! A path that a test shapes: datagrams between one client and one server go through a relay, which drops what is too long,
//! delays, holds back, and moves to another port as a NAT does.

use crate::quic::support::local;
use shroud::runtime::net::DatagramExt;
use shroud::runtime::sync::channel;
use shroud::runtime::{Datagram, DatagramOptions, Runtime, RuntimeExt, Task};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A relay in front of a server. Its task ends with it.
pub struct Relay<R: Runtime> {
    /// Where clients find it.
    pub address: SocketAddr,
    path: Arc<Mutex<Path<R>>>,
    _task: Task<()>,
}

struct Path<R: Runtime> {
    largest: usize,
    delay: Duration,
    /// The next datagram of the client that is at least so long is held back.
    hold: Option<usize>,
    held: Vec<Onward<R>>,
    /// The client's address, and the socket that the server knows for it.
    client: Option<(SocketAddr, Arc<R::Socket>)>,
    dropped: usize,
    strays: usize,
}

/// A datagram that goes on.
struct Onward<R: Runtime> {
    due: Instant,
    socket: Arc<R::Socket>,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl<R: Runtime> Relay<R> {
    /// To `server`; carries everything, without delay.
    pub async fn new(runtime: &R, server: SocketAddr) -> Self {
        let front = Arc::new(bind(runtime).await);
        let address = front.local_addr().unwrap();
        let path = Arc::new(Mutex::new(Path {
            largest: usize::MAX,
            delay: Duration::ZERO,
            hold: None,
            held: Vec::new(),
            client: None,
            dropped: 0,
            strays: 0,
        }));
        let task = runtime.spawn("relay", up(runtime.clone(), front, server, Arc::clone(&path)));
        Self { address, path, _task: task }
    }

    fn path(&self) -> MutexGuard<'_, Path<R>> {
        self.path.lock().unwrap()
    }

    /// Carries no datagram of more bytes than this, either way.
    pub fn carry(&self, largest: usize) {
        self.path().largest = largest;
    }

    /// Keeps each datagram for so long, either way.
    pub fn delay(&self, delay: Duration) {
        self.path().delay = delay;
    }

    /// Holds back the client's next datagram that is at least so long.
    pub fn hold(&self, least: usize) {
        self.path().hold = Some(least);
    }

    /// Whether it was held back.
    pub fn holds(&self) -> bool {
        !self.path().held.is_empty()
    }

    /// Sends on what was held back, from the address that it was to come from.
    pub async fn deliver(&self) {
        let held = std::mem::take(&mut self.path().held);
        assert!(!held.is_empty(), "nothing was held back");
        for Onward { socket, to, bytes, .. } in held {
            socket.send_to(&bytes, to).await.unwrap();
        }
    }

    /// Sends what comes next from another port, as a NAT does that has forgotten the client.
    pub fn forget(&self) {
        self.path().client = None;
    }

    /// Datagrams that were too long.
    pub fn dropped(&self) -> usize {
        self.path().dropped
    }

    /// Datagrams from the server to where the client was.
    pub fn strays(&self) -> usize {
        self.path().strays
    }

    /// The address that the server knows the client by.
    pub fn outside(&self) -> SocketAddr {
        self.path().client.as_ref().unwrap().1.local_addr().unwrap()
    }
}

/// Any port, with room for bursts.
async fn bind<R: Runtime>(runtime: &R) -> R::Socket {
    let options = DatagramOptions { receive_buffer: Some(2 << 20), ..DatagramOptions::default() };
    runtime.bind(local(), options).await.unwrap()
}

/// From the client to the server; starts the way back for each port.
async fn up<R: Runtime>(runtime: R, front: Arc<R::Socket>, server: SocketAddr, path: Arc<Mutex<Path<R>>>) {
    let (ahead, queue) = channel::unbounded();
    let _sender = runtime.spawn("relay up", send(runtime.clone(), queue));
    let mut ways_back = Vec::new();
    while let Some((source, datagrams)) = receive::<R>(&front).await {
        let known = path.lock().unwrap().client.clone().filter(|(client, _)| *client == source);
        let socket = match known {
            Some((_, socket)) => socket,
            None => {
                let socket = Arc::new(bind(&runtime).await);
                path.lock().unwrap().client = Some((source, Arc::clone(&socket)));
                let back = down(runtime.clone(), Arc::clone(&socket), Arc::clone(&front), Arc::clone(&path));
                ways_back.push(runtime.spawn("relay down", back));
                socket
            }
        };
        for bytes in datagrams {
            let onward = {
                let mut path = path.lock().unwrap();
                let due = runtime.now() + path.delay;
                let onward = Onward { due, socket: Arc::clone(&socket), to: server, bytes };
                if onward.bytes.len() > path.largest {
                    path.dropped += 1;
                    continue;
                }
                if path.hold.is_some_and(|least| onward.bytes.len() >= least) {
                    path.hold = None;
                    path.held.push(onward);
                    continue;
                }
                onward
            };
            let _ = ahead.send(onward).await;
        }
    }
}

/// From the server to the client, wherever that is now.
async fn down<R: Runtime>(
    runtime: R,
    back: Arc<R::Socket>,
    front: Arc<R::Socket>,
    path: Arc<Mutex<Path<R>>>,
) {
    let (ahead, queue) = channel::unbounded();
    let _sender = runtime.spawn("relay down", send(runtime.clone(), queue));
    while let Some((_, datagrams)) = receive::<R>(&back).await {
        for bytes in datagrams {
            let onward = {
                let mut path = path.lock().unwrap();
                let Some((client, current)) = path.client.clone() else { continue };
                path.strays += usize::from(!Arc::ptr_eq(&current, &back));
                if bytes.len() > path.largest {
                    path.dropped += 1;
                    continue;
                }
                Onward { due: runtime.now() + path.delay, socket: Arc::clone(&front), to: client, bytes }
            };
            let _ = ahead.send(onward).await;
        }
    }
}

/// One after the other, each when it is due.
async fn send<R: Runtime>(runtime: R, queue: channel::Receiver<Onward<R>>) {
    while let Ok(Onward { due, socket, to, bytes }) = queue.recv().await {
        if due > runtime.now() {
            runtime.sleep_until(due).await;
        }
        let _ = socket.send_to(&bytes, to).await;
    }
}

/// The next datagrams, and who sent them.
async fn receive<R: Runtime>(socket: &R::Socket) -> Option<(SocketAddr, Vec<Vec<u8>>)> {
    let mut buffer = vec![0; 65_536];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(meta) => {
                let datagrams = buffer[..meta.len].chunks(meta.stride.max(1)).map(<[u8]>::to_vec);
                return Some((meta.source, datagrams.collect()));
            }
            // Of a datagram that found nobody.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(_) => return None,
        }
    }
}

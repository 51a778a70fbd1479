//! UDP sockets.

use super::link::Passage;
use super::ports::Protocol;
use crate::arena::Key;
use crate::chance::Chance;
use crate::errors::{dead, too_large, unreachable};
use crate::event::Event;
use crate::host::Owner;
use crate::trace::Kind;
use crate::universe::{Universe, World};
use shroud_runtime::net::MAX_BATCH;
use shroud_runtime::task::poll_budget;
use shroud_runtime::{Datagram, DatagramCapabilities, DatagramOptions, Ecn, RecvMeta, Transmit};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, Waker, ready};

/// What a socket can do: as Linux on a card that segments.
pub const CAPABILITIES: DatagramCapabilities =
    DatagramCapabilities { send_segments: 64, receive_segments: 64, ecn: true, may_fragment: false };

/// What a datagram counts for in a socket's buffer beside its bytes.
const OVERHEAD: usize = 256;
/// A socket's buffers, unless it asks for another size: Linux's default.
const BUFFER: usize = 212_992;
/// The least that a socket's buffers may be: Linux's.
const BUFFER_LEAST: usize = 4608;
/// The largest UDP datagram over IPv4.
const LARGEST: usize = 65_507;

/// A datagram on its way.
pub(crate) struct Packet {
    to: usize,
    source: SocketAddr,
    destination: SocketAddr,
    ecn: Option<Ecn>,
    /// Datagrams of one train may be received as one.
    train: u64,
    bytes: Vec<u8>,
}

/// What the world keeps of a socket.
pub(crate) struct SocketState {
    owner: Owner,
    address: SocketAddr,
    receive_buffer: usize,
    send_buffer: usize,
    /// Bytes that have not left the host.
    leaving: usize,
    arrived: VecDeque<Packet>,
    waiting: usize,
    reader: Option<Waker>,
    writers: Vec<Waker>,
}

/// A UDP socket.
#[derive(Debug)]
pub struct SimSocket {
    universe: Universe,
    owner: Owner,
    key: Key,
    address: SocketAddr,
}

impl SimSocket {
    pub(crate) fn bind(
        universe: &Universe,
        owner: Owner,
        address: SocketAddr,
        options: DatagramOptions,
    ) -> io::Result<Self> {
        let (key, address) = universe.with(|world| {
            world.alive(owner).ok_or_else(dead)?;
            let address = world.choose_port(Protocol::Datagram, owner, address, options.reuse_port)?;
            // Linux doubles what it is asked for.
            let size = |asked: Option<usize>| asked.map_or(BUFFER, |asked| (asked * 2).max(BUFFER_LEAST));
            let key = world.sockets.insert(SocketState {
                owner,
                address,
                receive_buffer: size(options.receive_buffer),
                send_buffer: size(options.send_buffer),
                leaving: 0,
                arrived: VecDeque::new(),
                waiting: 0,
                reader: None,
                writers: Vec::new(),
            });
            world.ports.bind(Protocol::Datagram, owner.host, address, options.reuse_port, key);
            Ok::<_, io::Error>((key, address))
        })?;
        Ok(Self { universe: universe.clone(), owner, key, address })
    }
}

impl Datagram for SimSocket {
    fn poll_send(&self, cx: &mut Context<'_>, transmits: &[Transmit<'_>]) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        self.universe.with(|world| {
            world.alive(self.owner).ok_or_else(dead)?;
            let mut sent = 0;
            for transmit in transmits.iter().take(MAX_BATCH) {
                match world.send_train(self.key, transmit, cx) {
                    Poll::Ready(Ok(())) => sent += 1,
                    _ if sent > 0 => break,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ok(sent))
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        self.universe.with(|world| {
            world.alive(self.owner).ok_or_else(dead)?;
            if buffers.is_empty() || meta.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let mut count = 0;
            for (buffer, meta) in buffers.iter_mut().zip(meta).take(MAX_BATCH) {
                let Some(received) = world.receive(self.key, buffer) else { break };
                *meta = received;
                count += 1;
            }
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            let socket = world.sockets.get_mut(self.key).ok_or_else(dead)?;
            socket.reader = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn capabilities(&self) -> DatagramCapabilities {
        CAPABILITIES
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.universe.with(|world| world.close_socket(self.key));
    }
}

impl World {
    fn close_socket(&mut self, key: Key) {
        if let Some(socket) = self.sockets.remove(key) {
            self.ports.release(Protocol::Datagram, socket.owner.host, socket.address.port(), key);
        }
    }

    pub(crate) fn drop_sockets(&mut self, owner: Owner) {
        for key in self.sockets.keys(|socket| socket.owner == owner) {
            self.close_socket(key);
        }
    }

    /// Sends a datagram or a train of them.
    fn send_train(&mut self, key: Key, transmit: &Transmit<'_>, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.sockets.get_mut(key).ok_or_else(dead)?;
        let contents = transmit.contents;
        let size = transmit.segment_size.filter(|size| *size < contents.len()).unwrap_or(contents.len());
        if transmit.segment_size == Some(0) && !contents.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        if size > 0 && contents.len().div_ceil(size) > CAPABILITIES.send_segments {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        if size > LARGEST || contents.len() > usize::from(u16::MAX) {
            return Poll::Ready(Err(too_large()));
        }
        if socket.leaving > 0 && socket.leaving + contents.len() > socket.send_buffer {
            if !socket.writers.iter().any(|waker| waker.will_wake(cx.waker())) {
                socket.writers.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        let (owner, bound) = (socket.owner, socket.address);
        let destination = transmit.destination;
        let to = self.host_at(owner.host, destination.ip());
        let host = self.alive(owner).ok_or_else(dead)?;
        let source = match transmit.source.or(Some(bound.ip()).filter(|ip| !ip.is_unspecified())) {
            Some(ip) if !host.has(ip) => return Poll::Ready(Err(io::ErrorKind::AddrNotAvailable.into())),
            Some(ip) => ip,
            None => host.source_for(destination.ip()).ok_or_else(unreachable)?,
        };
        let headers = if destination.is_ipv4() { 28 } else { 48 };
        if to != Some(owner.host) && size + headers > host.mtu {
            return Poll::Ready(Err(too_large()));
        }
        let source = SocketAddr::new(source, bound.port());
        // An empty datagram is one, too.
        let mut rest = contents;
        let train = self.trace.events();
        loop {
            let (bytes, later) = rest.split_at_checked(size.min(rest.len())).unwrap_or((rest, &[]));
            rest = later;
            let subject = key.number();
            self.trace.note_bytes(self.now, Kind::DatagramSent, subject, bytes.len() as u64, bytes);
            if let Some(to) = to {
                let packet =
                    Packet { to, source, destination, ecn: transmit.ecn, train, bytes: bytes.to_vec() };
                self.send_packet(key, owner.host, packet, bytes.len() + headers);
            }
            if rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn send_packet(&mut self, key: Key, from: usize, mut packet: Packet, size: usize) {
        let (passage, mishap) = self.links.datagram(self.now, from, packet.to, size);
        let Passage::Arrives { at, left } = passage else {
            return self.note(Kind::DatagramLost, key.number(), size as u64);
        };
        if left > self.now {
            if let Some(socket) = self.sockets.get_mut(key) {
                socket.leaving += size;
            }
            self.queue.push(left, Event::Departed { socket: key, bytes: size });
        }
        if let Some(again) = mishap.again {
            let Packet { to, source, destination, ecn, train, ref bytes } = packet;
            let copy = Packet { to, source, destination, ecn, train, bytes: bytes.clone() };
            self.queue.push(again, Event::Datagram(Box::new(copy)));
        }
        if let Some(bit) = mishap.flipped
            && let Some(byte) = packet.bytes.get_mut(bit / 8)
        {
            *byte ^= 1 << (bit % 8);
        }
        self.queue.push(at, Event::Datagram(Box::new(packet)));
    }

    pub(crate) fn datagram_departed(&mut self, key: Key, bytes: usize) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        socket.leaving -= bytes;
        let writers = std::mem::take(&mut socket.writers);
        self.wakes().extend(writers);
    }

    pub(crate) fn datagram_arrives(&mut self, packet: Packet) {
        let candidates = self.ports.find(Protocol::Datagram, packet.to, packet.destination);
        // As Linux does among sockets that share an address: by the addresses, so that a flow stays with one of them.
        let flow = || format!("{} {}", packet.source, packet.destination);
        let place =
            if candidates.len() > 1 { Chance::new(0).split(&flow()).index(candidates.len()) } else { 0 };
        let Some(key) = candidates.get(place).copied() else {
            return self.note(Kind::DatagramLost, u64::MAX, packet.bytes.len() as u64);
        };
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let size = packet.bytes.len() + OVERHEAD;
        if socket.waiting + size > socket.receive_buffer {
            return self.note(Kind::DatagramLost, key.number(), size as u64);
        }
        socket.waiting += size;
        let length = packet.bytes.len() as u64;
        socket.arrived.push_back(packet);
        let mut waker = socket.reader.take();
        self.wake(&mut waker);
        self.note(Kind::DatagramArrived, key.number(), length);
    }

    /// Takes one buffer's worth.
    fn receive(&mut self, key: Key, buffer: &mut [u8]) -> Option<RecvMeta> {
        let socket = self.sockets.get_mut(key)?;
        let first = socket.arrived.pop_front()?;
        socket.waiting -= first.bytes.len() + OVERHEAD;
        let stride = first.bytes.len().min(buffer.len());
        if let (Some(out), Some(bytes)) = (buffer.get_mut(..stride), first.bytes.get(..stride)) {
            out.copy_from_slice(bytes);
        }
        let mut length = stride;
        let mut segments = 1;
        // Segments of one train come as one, while they are of one size; a shorter one is the last.
        while stride == first.bytes.len() && stride > 0 && segments < CAPABILITIES.receive_segments {
            let fits = |next: &Packet| {
                next.train == first.train
                    && next.source == first.source
                    && next.ecn == first.ecn
                    && next.destination == first.destination
                    && !next.bytes.is_empty()
                    && next.bytes.len() <= stride
                    && length + next.bytes.len() <= buffer.len().min(usize::from(u16::MAX))
            };
            let Some(next) = socket.arrived.pop_front_if(|next| fits(next)) else { break };
            socket.waiting -= next.bytes.len() + OVERHEAD;
            if let Some(out) = buffer.get_mut(length..length + next.bytes.len()) {
                out.copy_from_slice(&next.bytes);
            }
            length += next.bytes.len();
            segments += 1;
            if next.bytes.len() < stride {
                break;
            }
        }
        let bytes = buffer.get(..length).unwrap_or_default();
        self.trace.note_bytes(self.now, Kind::DatagramRead, key.number(), length as u64, bytes);
        let destination: Option<IpAddr> = Some(first.destination.ip());
        Some(RecvMeta { source: first.source, len: length, stride, ecn: first.ecn, destination })
    }
}

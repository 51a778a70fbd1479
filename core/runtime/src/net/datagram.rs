//! UDP in batches, with segmentation and congestion marks where the backend has them.

use std::future::{Future, poll_fn};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

/// Datagrams (or trains of segments) in one call at most: the size of the kernel's message arrays that adapters keep.
pub const MAX_BATCH: usize = 32;

/// An explicit congestion notification mark (RFC 3168).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ecn {
    /// ECN-capable, codepoint 1.
    Ect1,
    /// ECN-capable, codepoint 0.
    Ect0,
    /// Congestion experienced.
    Ce,
}

/// A datagram to send, or a train of equal segments to one destination.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// Where to.
    pub destination: SocketAddr,
    /// The congestion mark to set.
    pub ecn: Option<Ecn>,
    /// The bytes.
    pub contents: &'a [u8],
    /// With `Some(n)`, `contents` is cut into datagrams of `n` bytes (the last may be shorter), at most
    /// [`DatagramCapabilities::send_segments`] of them.
    pub segment_size: Option<usize>,
    /// The source address to send from, on a socket bound to a wildcard.
    pub source: Option<IpAddr>,
}

/// What was received into one buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecvMeta {
    /// Where from.
    pub source: SocketAddr,
    /// Bytes in the buffer: one datagram, or several of `stride` bytes each (the last may be shorter).
    pub len: usize,
    /// The size of each datagram in the buffer; equal to `len` for a single one.
    pub stride: usize,
    /// The congestion mark.
    pub ecn: Option<Ecn>,
    /// The local address it was sent to, where the system tells.
    pub destination: Option<IpAddr>,
}

/// What a socket can do here. Reported, never pretended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatagramCapabilities {
    /// Segments one [`Transmit`] may hold; 1 without segmentation offload.
    pub send_segments: usize,
    /// Datagrams the kernel may coalesce into one buffer; 1 without receive offload.
    pub receive_segments: usize,
    /// Whether congestion marks are set and reported.
    pub ecn: bool,
    /// Whether datagrams may be fragmented by IP on their way (`false` means don't-fragment is set).
    pub may_fragment: bool,
}

/// How to bind a UDP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatagramOptions {
    /// Let several sockets, one per shard, share the address (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Receive buffer to ask the kernel for, in bytes.
    pub receive_buffer: Option<usize>,
    /// Send buffer to ask the kernel for, in bytes.
    pub send_buffer: Option<usize>,
}

/// A UDP socket. Any number of tasks may send; one at a time may receive.
pub trait Datagram: Send + Sync + 'static {
    /// Hands transmits to the kernel in order; ready with how many were taken (at least one unless `transmits` is
    /// empty). The rest must be offered again. Cancel safe: what was not counted was not sent.
    fn poll_send(&self, cx: &mut Context<'_>, transmits: &[Transmit<'_>]) -> Poll<io::Result<usize>>;

    /// Receives into `buffers`, at most [`MAX_BATCH`] and at most as many as there are `meta`; ready with how many
    /// were filled. A datagram longer than its buffer is cut. Cancel safe: datagrams are taken only when ready.
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>>;

    /// The bound address.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// What this socket can do here.
    fn capabilities(&self) -> DatagramCapabilities;
}

/// Datagram verbs as futures.
pub trait DatagramExt: Datagram {
    /// Sends all of `transmits` in order. Cancel safety: after a drop, a prefix of them was sent.
    ///
    /// # Errors
    /// The first that the kernel reports; later transmits were not sent.
    fn send_all<'a>(
        &'a self,
        transmits: &'a [Transmit<'a>],
    ) -> impl Future<Output = io::Result<()>> + Send + 'a {
        let mut rest = transmits;
        poll_fn(move |cx| {
            while !rest.is_empty() {
                match self.poll_send(cx, rest) {
                    Poll::Ready(Ok(sent)) => rest = rest.get(sent..).unwrap_or(&[]),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Sends one datagram. Cancel safe.
    ///
    /// # Errors
    /// As `sendmsg(2)`.
    fn send_to<'a>(
        &'a self,
        contents: &'a [u8],
        destination: SocketAddr,
    ) -> impl Future<Output = io::Result<()>> + Send + 'a {
        let transmit = Transmit { destination, ecn: None, contents, segment_size: None, source: None };
        poll_fn(move |cx| self.poll_send(cx, &[transmit]).map_ok(|_| ()))
    }

    /// Receives one buffer's worth: one datagram, or several coalesced ones when the socket has receive offload.
    /// Cancel safe.
    ///
    /// # Errors
    /// As `recvmsg(2)`.
    fn recv<'a>(&'a self, buffer: &'a mut [u8]) -> impl Future<Output = io::Result<RecvMeta>> + Send + 'a {
        poll_fn(move |cx| {
            let mut meta = [RecvMeta::empty()];
            let polled = self.poll_recv(cx, &mut [IoSliceMut::new(buffer)], &mut meta);
            let [meta] = meta;
            polled.map_ok(|_| meta)
        })
    }
}

impl<D: Datagram> DatagramExt for D {}

impl RecvMeta {
    /// A placeholder to be filled by [`Datagram::poll_recv`].
    #[must_use]
    pub const fn empty() -> Self {
        let source = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
        Self { source, len: 0, stride: 0, ecn: None, destination: None }
    }
}

//! TCP.

use futures_io::{AsyncRead, AsyncWrite};
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Reading into memory that was never written, as a kernel can: it spares zeroing a buffer before each read.
pub trait ReadUninit: AsyncRead {
    /// As [`AsyncRead::poll_read`]: the same bytes, wake-ups and cancel safety; ready with the part that was filled, the
    /// beginning of `buffer`. `None` when this stream cannot: read with `poll_read` then.
    fn poll_read_uninit<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &'a mut [MaybeUninit<u8>],
    ) -> Option<Poll<io::Result<&'a mut [u8]>>> {
        let _ = (cx, buffer);
        None
    }
}

/// A TCP connection.
///
/// - Reading and writing are cancel safe: bytes are consumed only when a poll returns ready.
/// - Closing it ([`AsyncWrite::poll_close`]) shuts the write side (half-close): the peer reads end-of-file, reading
///   goes on. Flushing is a no-op. Vectored writes are passed to the kernel as one call.
/// - Dropping it closes the connection; data already written is still delivered.
pub trait ByteStream: ReadUninit + AsyncWrite + Send + Unpin + 'static {
    /// The peer's address.
    ///
    /// # Errors
    /// When the connection is already gone.
    fn peer_addr(&self) -> io::Result<SocketAddr>;

    /// This side's address.
    ///
    /// # Errors
    /// When the connection is already gone.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Switches Nagle's algorithm off (`true`) or on.
    ///
    /// # Errors
    /// As `setsockopt(2)`.
    fn set_nodelay(&self, on: bool) -> io::Result<()>;

    /// Closes the connection at once with a reset; unsent data is dropped (`SO_LINGER` of zero).
    ///
    /// # Errors
    /// As `setsockopt(2)`.
    fn reset(self) -> io::Result<()>;
}

/// How to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections the kernel may hold before they are accepted (it may cap this).
    pub backlog: u32,
    /// Let several listeners, one per shard, share the address; the kernel spreads connections (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Set `TCP_NODELAY` on accepted connections.
    pub nodelay: bool,
    /// For accepted connections, as [`ConnectOptions::unsent_bytes`].
    pub unsent_bytes: u32,
}

/// What the kernel takes for a connection by default beyond what it may send: enough to keep any link busy while the writer is
/// woken, and little for one whose peer takes nothing.
const UNSENT_BYTES: u32 = 128 * 1024;

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, reuse_port: true, nodelay: true, unsent_bytes: UNSENT_BYTES }
    }
}

/// How to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Give up after this long; `None` leaves it to the kernel.
    pub timeout: Option<Duration>,
    /// Set `TCP_NODELAY`.
    pub nodelay: bool,
    /// A write waits once the kernel holds this many bytes that the peer's and the network's windows do not let it send yet
    /// (`TCP_NOTSENT_LOWAT`, where there is such). Without, it takes megabytes for a peer that takes nothing.
    pub unsent_bytes: u32,
    /// Bind to this local address first.
    pub local: Option<SocketAddr>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(10)),
            nodelay: true,
            unsent_bytes: UNSENT_BYTES,
            local: None,
        }
    }
}

/// A TCP listener.
pub trait Listener: Send + Sync + Unpin + 'static {
    /// What it accepts.
    type Stream: ByteStream;

    /// Takes the next connection. Cancel safe: a connection is taken only when this is ready. One task at a time may
    /// wait on a listener.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, SocketAddr)>>;

    /// The bound address, with the port that was chosen when it was 0.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Listener verbs as futures.
pub trait ListenerExt: Listener {
    /// Waits for the next connection. Cancel safe.
    fn accept(&mut self) -> Accept<'_, Self> {
        Accept { listener: self }
    }
}

impl<L: Listener> ListenerExt for L {}

/// Made by [`ListenerExt::accept`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Accept<'a, L: ?Sized> {
    listener: &'a mut L,
}

impl<L: Listener> Future for Accept<'_, L> {
    type Output = io::Result<(L::Stream, SocketAddr)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.listener.poll_accept(cx)
    }
}

//! TCP connections.

use crate::wait::adopt;
use futures_io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use send_wrapper::SendWrapper;
use shroud_io_readiness::tcp;
use shroud_runtime::net::ReadUninit;
use shroud_runtime::task::{poll_budget, poll_long, spend_bytes};
use shroud_runtime::{ByteStream, ConnectOptions};
use socket2::SockRef;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Do not wait, and report a closed peer as an error rather than by a signal.
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// A TCP connection of one shard.
///
/// Reading is glommio's own: `recv` without waiting, then a `POLL_ADD` that is queued ahead of time when a read has
/// emptied the socket, so that a request costs one `recv` and one ring entry. Writing is one `send` or `sendmsg`;
/// glommio waits only when the socket's buffer is full.
#[derive(Debug)]
pub struct GlommioStream {
    inner: SendWrapper<TcpStream>,
}

impl GlommioStream {
    /// Takes over a connected socket. To be called on the shard's thread.
    #[must_use]
    pub fn new(socket: std::net::TcpStream) -> Self {
        Self { inner: SendWrapper::new(adopt(socket)) }
    }

    /// Connects, and gives up only when the kernel does.
    pub(crate) async fn connect(address: SocketAddr, options: ConnectOptions) -> io::Result<Self> {
        poll_fn(poll_long).await;
        let mut stream = Self::new(tcp::start_connect(address, options)?);
        // Sending nothing succeeds once connected, would block before, and reports why an attempt failed.
        poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &[])).await?;
        Ok(stream)
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream owns the descriptor and keeps it open for as long as it is borrowed here.
        #[allow(unsafe_code, reason = "glommio's streams lend their descriptor only as a number")]
        unsafe {
            BorrowedFd::borrow_raw(self.inner.as_raw_fd())
        }
    }

    fn glommio(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut *self.inner)
    }
}

impl AsyncRead for GlommioStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        spend_bytes(self.glommio().poll_read(cx, buffer))
    }
}

impl AsyncWrite for GlommioStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        spend_bytes(match rustix::io::retry_on_intr(|| rustix::net::send(self.descriptor(), bytes, SEND)) {
            Err(rustix::io::Errno::AGAIN) => self.glommio().poll_write(cx, bytes),
            result => Poll::Ready(result.map_err(io::Error::from)),
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        // As many as the kernel takes in one call (`UIO_MAXIOV`).
        let parts = parts.get(..1024).unwrap_or(parts);
        let send =
            || rustix::net::sendmsg(self.descriptor(), parts, &mut SendAncillaryBuffer::default(), SEND);
        spend_bytes(match rustix::io::retry_on_intr(send) {
            Err(rustix::io::Errno::AGAIN) => {
                let first = parts.iter().find(|part| !part.is_empty());
                self.glommio().poll_write(cx, first.map_or(&[], |part| part))
            }
            result => Poll::Ready(result.map_err(io::Error::from)),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(tcp::shut_write(&self.descriptor()))
    }
}

impl ReadUninit for GlommioStream {}

impl ByteStream for GlommioStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        internet(SockRef::from(&self.descriptor()).peer_addr()?)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        internet(SockRef::from(&self.descriptor()).local_addr()?)
    }

    fn set_nodelay(&self, on: bool) -> io::Result<()> {
        tcp::set_nodelay(&self.descriptor(), on)
    }

    fn reset(self) -> io::Result<()> {
        tcp::reset_on_close(&self.descriptor())?;
        // A queued wait keeps the socket alive until the ring has dropped it: disconnecting resets at once. It fails
        // only when there is no connection any more.
        let _ = rustix::net::connect_unspec(self.descriptor());
        Ok(())
    }
}

fn internet(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::other("not an internet address"))
}

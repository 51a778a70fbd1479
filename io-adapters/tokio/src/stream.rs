//! TCP connections.

use futures_io::{AsyncRead, AsyncWrite};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use shroud_io_readiness::tcp;
use shroud_runtime::ByteStream;
use shroud_runtime::net::ReadUninit;
use shroud_runtime::task::{poll_budget, spend_bytes};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A TCP connection.
#[derive(Debug)]
pub struct TokioStream {
    stream: TcpStream,
}

impl TokioStream {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream }
    }
}

impl TokioStream {
    /// One read of the kernel's, once the socket has something, by a system call of our own: the C library's is a thread
    /// cancellation point, which costs a process of several threads four locked instructions a call.
    ///
    /// `read` is given the socket and says how much it has read; `room` is how much it may.
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        mut read: impl FnMut(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let mut got = None;
            let tried = self.stream.try_io(Interest::READABLE, || {
                let count = read(&self.stream)?;
                got = Some(count);
                // What leaves room has emptied the socket, and its next event will tell of more: no need to ask in vain.
                if 0 < count && count < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (got, tried) {
                (Some(count), _) => return spend_bytes(Poll::Ready(Ok(count))),
                (None, Err(error)) if is_passing(&error) => {}
                (None, tried) => return Poll::Ready(tried.map(|()| 0)),
            }
        }
    }
}

/// Not ready after all, or interrupted by a signal: to be tried again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl AsyncRead for TokioStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_recv(cx, buffer.len(), |socket| Ok(recv(socket, &mut *buffer, RecvFlags::empty())?.0))
    }
}

impl ReadUninit for TokioStream {
    fn poll_read_uninit<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &'a mut [MaybeUninit<u8>],
    ) -> Option<Poll<io::Result<&'a mut [u8]>>> {
        let polled = self.poll_recv(cx, buffer.len(), |socket| {
            let ((filled, _), _) = recv(socket, &mut *buffer, RecvFlags::empty())?;
            Ok(filled.len())
        });
        Some(polled.map_ok(|count| {
            // SAFETY: the kernel has filled the first `count` bytes.
            #[allow(unsafe_code, reason = "what a system call lends ends before the next is tried")]
            unsafe {
                buffer[..count].assume_init_mut()
            }
        }))
    }
}

impl AsyncWrite for TokioStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let mut sent = None;
            let tried = self.stream.try_io(Interest::WRITABLE, || {
                let count = send(&self.stream, buffer, SendFlags::NOSIGNAL)?;
                sent = Some(count);
                // As for reading: the socket is full.
                if 0 < count && count < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (sent, tried) {
                (Some(count), _) => return spend_bytes(Poll::Ready(Ok(count))),
                (None, Err(error)) if is_passing(&error) => {}
                (None, tried) => return Poll::Ready(tried.map(|()| 0)),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        spend_bytes(tokio::io::AsyncWrite::poll_write_vectored(Pin::new(&mut self.stream), cx, buffers))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(tcp::shut_write(&self.stream))
    }
}

impl ByteStream for TokioStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    fn set_nodelay(&self, on: bool) -> io::Result<()> {
        tcp::set_nodelay(&self.stream, on)
    }

    fn reset(self) -> io::Result<()> {
        tcp::reset_on_close(&self.stream)
    }
}

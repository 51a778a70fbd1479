//! TCP connections.

use futures_io::{AsyncRead, AsyncWrite};
use shroud_io_readiness::tcp;
use shroud_runtime::ByteStream;
use shroud_runtime::net::ReadUninit;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;
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

impl AsyncRead for TokioStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(tokio::io::AsyncRead::poll_read(Pin::new(&mut self.stream), cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl ReadUninit for TokioStream {
    fn poll_read_uninit<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &'a mut [MaybeUninit<u8>],
    ) -> Option<Poll<io::Result<&'a mut [u8]>>> {
        let mut read = ReadBuf::uninit(buffer);
        let polled = tokio::io::AsyncRead::poll_read(Pin::new(&mut self.stream), cx, &mut read);
        let count = read.filled().len();
        // SAFETY: the first `count` bytes were filled, as Tokio's buffer has kept account of.
        #[allow(unsafe_code, reason = "Tokio's buffer lends what it has filled for no longer than itself")]
        let filled = unsafe { buffer[..count].assume_init_mut() };
        Some(polled.map_ok(|()| filled))
    }
}

impl AsyncWrite for TokioStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write_vectored(Pin::new(&mut self.stream), cx, buffers)
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

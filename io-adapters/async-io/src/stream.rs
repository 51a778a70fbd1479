//! TCP connections.

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use shroud_io_readiness::tcp;
use shroud_runtime::ByteStream;
use shroud_runtime::net::ReadUninit;
use shroud_runtime::task::{poll_budget, spend_bytes};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A TCP connection.
#[derive(Debug)]
pub struct AsyncStream {
    stream: Async<TcpStream>,
}

impl AsyncStream {
    pub(crate) fn new(stream: Async<TcpStream>) -> Self {
        Self { stream }
    }
}

impl AsyncRead for AsyncStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        spend_bytes(Pin::new(&mut self.stream).poll_read(cx, buffer))
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        spend_bytes(Pin::new(&mut self.stream).poll_read_vectored(cx, buffers))
    }
}

impl AsyncWrite for AsyncStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        spend_bytes(Pin::new(&mut self.stream).poll_write(cx, buffer))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        spend_bytes(Pin::new(&mut self.stream).poll_write_vectored(cx, buffers))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(tcp::shut_write(&self.stream))
    }
}

impl ReadUninit for AsyncStream {}

impl ByteStream for AsyncStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().peer_addr()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }

    fn set_nodelay(&self, on: bool) -> io::Result<()> {
        tcp::set_nodelay(&self.stream, on)
    }

    fn reset(self) -> io::Result<()> {
        tcp::reset_on_close(&self.stream)
    }
}

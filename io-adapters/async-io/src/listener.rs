//! TCP listeners.

use crate::stream::AsyncStream;
use async_io::Async;
use shroud_io_readiness::tcp;
use shroud_runtime::Listener;
use shroud_runtime::task::{poll_budget, spend_accept};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::task::{Context, Poll, ready};

/// A TCP listener.
#[derive(Debug)]
pub struct AsyncListener {
    listener: Async<TcpListener>,
}

impl AsyncListener {
    pub(crate) fn new(listener: Async<TcpListener>) -> Self {
        Self { listener }
    }
}

impl Listener for AsyncListener {
    type Stream = AsyncStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(AsyncStream, SocketAddr)>> {
        ready!(poll_budget(cx));
        loop {
            match tcp::accept(self.listener.get_ref()) {
                Ok((stream, peer)) => {
                    let stream = Async::new_nonblocking(stream)?;
                    return spend_accept(Poll::Ready(Ok((AsyncStream::new(stream), peer))));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.listener.poll_readable(cx))?;
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.get_ref().local_addr()
    }
}

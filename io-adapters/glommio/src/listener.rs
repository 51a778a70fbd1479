//! TCP listeners.

use crate::stream::GlommioStream;
use crate::wait::Readable;
use send_wrapper::SendWrapper;
use shroud_io_readiness::tcp;
use shroud_runtime::task::{poll_budget, spend_accept};
use shroud_runtime::{ListenOptions, Listener};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::task::{Context, Poll, ready};

/// A TCP listener of one shard. A burst of connections is taken by one `accept4` each; the ring is asked only when
/// none is left, and never holds a connection that nobody waits for any more.
#[derive(Debug)]
pub struct GlommioListener {
    inner: SendWrapper<Inner>,
}

#[derive(Debug)]
struct Inner {
    listener: TcpListener,
    readable: Readable,
}

impl GlommioListener {
    /// Binds and listens. To be called on the shard's thread.
    ///
    /// # Errors
    /// As `bind(2)` and `listen(2)`.
    pub fn bind(address: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        let inner = Inner { listener: tcp::listen(address, options)?, readable: Readable::default() };
        Ok(Self { inner: SendWrapper::new(inner) })
    }
}

impl Listener for GlommioListener {
    type Stream = GlommioStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, SocketAddr)>> {
        ready!(poll_budget(cx));
        let Inner { listener, readable } = &mut *self.inner;
        spend_accept(readable.poll_attempt(listener, cx, || tcp::accept(listener)))
            .map_ok(|(socket, peer)| (GlommioStream::new(socket), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.listener.local_addr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A queued wait keeps the socket alive until the ring has dropped it, but nobody may connect from now on.
        let _ = socket2::SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }
}

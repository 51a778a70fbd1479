//! TCP listeners.

use crate::stream::TokioStream;
use shroud_io_readiness::tcp;
use shroud_runtime::Listener;
use shroud_runtime::task::{poll_budget, spend_accept};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

/// A TCP listener.
#[derive(Debug)]
pub struct TokioListener {
    listener: TcpListener,
    handle: Handle,
}

impl TokioListener {
    pub(crate) fn new(listener: TcpListener, handle: Handle) -> Self {
        Self { listener, handle }
    }
}

impl Listener for TokioListener {
    type Stream = TokioStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TokioStream, SocketAddr)>> {
        ready!(poll_budget(cx));
        loop {
            // Tokio registers what it accepts with the runtime it finds around it.
            let accepted = {
                let _runtime = self.handle.enter();
                ready!(self.listener.poll_accept(cx))
            };
            match accepted {
                Ok((stream, peer)) => return spend_accept(Poll::Ready(Ok((TokioStream::new(stream), peer)))),
                Err(error) if error.raw_os_error().is_some_and(tcp::is_passing) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

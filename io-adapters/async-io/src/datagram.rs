//! UDP sockets.

use async_io::Async;
use shroud_io_readiness::{SharedWaker, UdpState};
use shroud_runtime::task::poll_budget;
use shroud_runtime::{Datagram, DatagramCapabilities, RecvMeta, Transmit};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A UDP socket.
#[derive(Debug)]
pub struct AsyncDatagram {
    socket: Async<UdpSocket>,
    state: UdpState,
    senders: Arc<SharedWaker>,
}

impl AsyncDatagram {
    pub(crate) fn new(socket: Async<UdpSocket>, state: UdpState) -> Self {
        Self { socket, state, senders: Arc::default() }
    }
}

impl Datagram for AsyncDatagram {
    fn poll_send(&self, cx: &mut Context<'_>, transmits: &[Transmit<'_>]) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        loop {
            match self.state.try_send(&self.socket, transmits) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            ready!(self.senders.poll(cx, |cx| self.socket.poll_writable(cx)))?;
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        loop {
            match self.state.try_recv(&self.socket, buffers, meta) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            ready!(self.socket.poll_readable(cx))?;
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    fn capabilities(&self) -> DatagramCapabilities {
        self.state.capabilities()
    }
}

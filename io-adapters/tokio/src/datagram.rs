//! UDP sockets.

use shroud_io_readiness::{SharedWaker, UdpState};
use shroud_runtime::{Datagram, DatagramCapabilities, RecvMeta, Transmit};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::coop;

/// A UDP socket.
#[derive(Debug)]
pub struct TokioDatagram {
    socket: UdpSocket,
    state: UdpState,
    senders: Arc<SharedWaker>,
}

impl TokioDatagram {
    pub(crate) fn new(socket: UdpSocket, state: UdpState) -> Self {
        Self { socket, state, senders: Arc::default() }
    }
}

impl Datagram for TokioDatagram {
    fn poll_send(&self, cx: &mut Context<'_>, transmits: &[Transmit<'_>]) -> Poll<io::Result<usize>> {
        // A socket that always takes more must not keep its task from yielding.
        let budget = ready!(coop::poll_proceed(cx));
        loop {
            match self.socket.try_io(Interest::WRITABLE, || self.state.try_send(&self.socket, transmits)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    budget.made_progress();
                    return Poll::Ready(result);
                }
            }
            ready!(self.senders.poll(cx, |cx| self.socket.poll_send_ready(cx)))?;
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            let received =
                self.socket.try_io(Interest::READABLE, || self.state.try_recv(&self.socket, buffers, meta));
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn capabilities(&self) -> DatagramCapabilities {
        self.state.capabilities()
    }
}

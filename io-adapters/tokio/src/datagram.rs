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

impl TokioDatagram {
    fn poll_try_send(&self, cx: &Context<'_>, transmits: &[Transmit<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let mut tried = false;
            let sent = self.socket.try_io(Interest::WRITABLE, || {
                tried = true;
                self.state.try_send(&self.socket, transmits)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            if self.senders.poll(cx, |cx| self.socket.poll_send_ready(cx))?.is_ready() {
                continue;
            }
            if tried {
                return Poll::Pending;
            }
            // Tokio has not seen this socket writable yet, as just after it was bound. Mostly it is all the same.
            return match self.state.try_send(&self.socket, transmits) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                result => Poll::Ready(result),
            };
        }
    }
}

impl Datagram for TokioDatagram {
    fn poll_send(&self, cx: &mut Context<'_>, transmits: &[Transmit<'_>]) -> Poll<io::Result<usize>> {
        // A socket that always takes more must not keep its task from yielding.
        let budget = ready!(coop::poll_proceed(cx));
        let result = ready!(self.poll_try_send(cx, transmits));
        budget.made_progress();
        Poll::Ready(result)
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

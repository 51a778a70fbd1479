//! UDP sockets.

use crate::wait::{Readable, Writable};
use send_wrapper::SendWrapper;
use shroud_io_readiness::{SharedWaker, UdpState, udp};
use shroud_runtime::task::poll_budget;
use shroud_runtime::{Datagram, DatagramCapabilities, DatagramOptions, RecvMeta, Transmit};
use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A UDP socket of one shard: batches, segmentation and marks by the kernel's own calls; the ring only waits.
#[derive(Debug)]
pub struct GlommioSocket {
    inner: SendWrapper<Inner>,
}

#[derive(Debug)]
struct Inner {
    socket: UdpSocket,
    state: UdpState,
    readable: RefCell<Readable>,
    writable: RefCell<Writable>,
    /// The tasks that wait until the socket takes datagrams again.
    senders: Arc<SharedWaker>,
}

impl GlommioSocket {
    /// Binds. To be called on the shard's thread.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub fn bind(address: SocketAddr, options: DatagramOptions) -> io::Result<Self> {
        let (socket, state) = udp::bind(address, options)?;
        Ok(Self {
            inner: SendWrapper::new(Inner {
                socket,
                state,
                readable: RefCell::default(),
                writable: RefCell::default(),
                senders: Arc::default(),
            }),
        })
    }
}

impl Datagram for GlommioSocket {
    fn poll_send(&self, cx: &mut Context<'_>, transmits: &[Transmit<'_>]) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        let inner = &*self.inner;
        let mut writable = inner.writable.borrow_mut();
        let attempt = || inner.state.try_send(&inner.socket, transmits);
        if !writable.is_waiting() {
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
        inner.senders.poll(cx, |cx| writable.poll_attempt(&inner.socket, cx, attempt))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        let inner = &*self.inner;
        let attempt = || inner.state.try_recv(&inner.socket, buffers, meta);
        inner.readable.borrow_mut().poll_attempt(&inner.socket, cx, attempt)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.socket.local_addr()
    }

    fn capabilities(&self) -> DatagramCapabilities {
        self.inner.state.capabilities()
    }
}

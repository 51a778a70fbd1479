//! The seam's streams and listeners.

use crate::arena::Key;
use crate::errors::dead;
use crate::host::Owner;
use crate::universe::Universe;
use futures_io::{AsyncRead, AsyncWrite};
use shroud_runtime::net::ReadUninit;
use shroud_runtime::task::{poll_budget, spend_accept, spend_bytes};
use shroud_runtime::{ByteStream, ConnectOptions, ListenOptions, Listener};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A connection.
#[derive(Debug)]
pub struct SimStream {
    universe: Universe,
    owner: Owner,
    key: Key,
    side: usize,
    addresses: (SocketAddr, SocketAddr),
}

impl SimStream {
    fn new(universe: Universe, owner: Owner, key: Key, side: usize) -> io::Result<Self> {
        let addresses =
            universe.with(|world| world.connections.get(key).map(|connection| connection.addresses(side)));
        let addresses = addresses.ok_or_else(dead)?;
        Ok(Self { universe, owner, key, side, addresses })
    }

    fn write(&self, cx: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        spend_bytes(self.universe.with(|world| {
            world.alive(self.owner).ok_or_else(dead)?;
            world.poll_write(self.key, self.side, buffers, cx)
        }))
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        spend_bytes(self.universe.with(|world| {
            world.alive(self.owner).ok_or_else(dead)?;
            world.poll_read(self.key, self.side, buffer, cx)
        }))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, buffers)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.universe.with(|world| {
            if world.alive(self.owner).is_some() {
                world.half_close(self.key, self.side);
            }
        });
        Poll::Ready(Ok(()))
    }
}

impl ReadUninit for SimStream {}

impl ByteStream for SimStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addresses.1)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addresses.0)
    }

    fn set_nodelay(&self, _: bool) -> io::Result<()> {
        // Nothing is held back in either case.
        Ok(())
    }

    fn reset(self) -> io::Result<()> {
        self.universe.with(|world| {
            if world.alive(self.owner).is_some() {
                world.close_side(self.key, self.side, true);
            }
        });
        Ok(())
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.universe.with(|world| {
            if world.alive(self.owner).is_some() {
                world.close_side(self.key, self.side, false);
            }
        });
    }
}

/// A listener.
#[derive(Debug)]
pub struct SimListener {
    universe: Universe,
    owner: Owner,
    key: Key,
    address: SocketAddr,
}

impl SimListener {
    pub(crate) fn bind(
        universe: &Universe,
        owner: Owner,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<Self> {
        let (key, address) = universe.with(|world| {
            let key = world.listen(owner, address, options)?;
            let address = world.listeners.get(key).map(|listener| listener.address);
            Ok::<_, io::Error>((key, address.ok_or_else(dead)?))
        })?;
        Ok(Self { universe: universe.clone(), owner, key, address })
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(SimStream, SocketAddr)>> {
        ready!(poll_budget(cx));
        let connection = ready!(spend_accept(self.universe.with(|world| {
            world.alive(self.owner).ok_or_else(dead)?;
            world.poll_accept(self.key, cx)
        })))?;
        let stream = SimStream::new(self.universe.clone(), self.owner, connection, 1)?;
        let peer = stream.addresses.1;
        Poll::Ready(Ok((stream, peer)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.universe.with(|world| {
            if world.alive(self.owner).is_some() {
                world.close_listener(self.key, false);
            }
        });
    }
}

/// Connects, without a time limit of its own.
pub(crate) async fn connect(
    universe: &Universe,
    owner: Owner,
    address: SocketAddr,
    options: ConnectOptions,
) -> io::Result<SimStream> {
    let key = universe.with(|world| world.connect(owner, address, options.local))?;
    let mut attempt = Attempting { universe, key: Some(key) };
    let connection = poll_fn(|cx| universe.with(|world| world.poll_attempt(key, cx))).await;
    attempt.key = None;
    SimStream::new(universe.clone(), owner, connection?, 0)
}

/// An attempt that is given up when this is dropped.
struct Attempting<'a> {
    universe: &'a Universe,
    key: Option<Key>,
}

impl Drop for Attempting<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.universe.with(|world| world.abandon(key));
        }
    }
}

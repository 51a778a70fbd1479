//! The socket of an HTTP/2 connection, with what it has taken.

use super::super::super::metrics::Stripe;
use futures_io::{AsyncRead, AsyncWrite};
use shroud_runtime::net::ReadUninit;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// Bytes of a connection preface before its SETTINGS (RFC 9113, 3.4).
const PREFACE_BYTES: u64 = 24;

/// A connection's stream, shared by hyper (through [`WireIo`]) and the connection's task.
pub(super) struct Wire<S> {
    stream: Mutex<S>,
    stripe: Arc<Stripe>,
    received: AtomicU64,
    sent: AtomicU64,
    blocked: AtomicBool,
    ended: AtomicBool,
}

/// The wire as hyper's stream.
pub(super) struct WireIo<S>(pub(super) Arc<Wire<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, stripe: Arc<Stripe>) -> Self {
        Self {
            stream: Mutex::new(stream),
            stripe,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, S> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that the socket has taken so far, and whether it takes no more just now.
    pub(super) fn progress(&self) -> (u64, bool) {
        (self.sent.load(Relaxed), self.blocked.load(Relaxed))
    }

    /// Whether the client's connection preface is there (RFC 9113, 3.4), if it is one.
    pub(super) fn has_preface(&self) -> bool {
        self.received.load(Relaxed) >= PREFACE_BYTES
    }

    fn has_read(&self, count: usize) {
        self.received.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
        self.stripe.received(count);
        if count == 0 {
            self.ended.store(true, Relaxed);
        }
    }

    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.blocked.store(polled.is_pending(), Relaxed);
        if let Poll::Ready(Ok(count)) = &polled {
            self.sent.fetch_add(u64::try_from(*count).unwrap_or(u64::MAX), Relaxed);
            self.stripe.sent(*count);
        }
        polled
    }

    /// Closes the write side, then reads until the peer has closed its own or has sent `most` bytes more.
    pub(super) async fn linger(&self, most: usize) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self.lock()).poll_close(cx)).await?;
        let mut left = most;
        let mut sink = vec![0; 4096];
        while left > 0 && !self.ended.load(Relaxed) {
            let read = poll_fn(|cx| Pin::new(&mut *self.lock()).poll_read(cx, &mut sink)).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WireIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut *self.0.lock()).poll_read(cx, target))?;
        self.0.has_read(read);
        Poll::Ready(Ok(read))
    }
}

impl<S: ReadUninit + AsyncWrite + Unpin> ReadUninit for WireIo<S> {
    fn poll_read_uninit<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &'a mut [MaybeUninit<u8>],
    ) -> Option<Poll<io::Result<&'a mut [u8]>>> {
        let polled = Pin::new(&mut *self.0.lock()).poll_read_uninit(cx, buffer)?;
        if let Poll::Ready(Ok(bytes)) = &polled {
            self.0.has_read(bytes.len());
        }
        Some(polled)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WireIo<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.0.lock()).poll_write(cx, bytes);
        self.0.wrote(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.0.lock()).poll_write_vectored(cx, slices);
        self.0.wrote(polled)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut *self.0.lock()).poll_flush(cx);
        self.0.blocked.store(polled.is_pending(), Relaxed);
        polled
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_close(cx)
    }
}

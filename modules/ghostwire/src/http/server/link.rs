//! The stream between hyper, the socket and the connection's task.
//!
//! hyper writes and flushes each response by itself. The link keeps small ones until the connection's task has
//! polled hyper, then writes all of them at once: pipelined requests cost one write together, and none waits longer
//! than the poll that made it. Large writes pass through, vectored.

use super::activity::Activity;
use super::framing::HeadScan;
use futures_io::{AsyncRead, AsyncWrite};
use shroud_runtime::net::ReadUninit;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// Responses are kept up to this many bytes before they are written.
const KEEP: usize = 16 * 1024;

/// A buffer that grew beyond this is given back once it is empty: idle connections should be small.
const KEEP_ALLOCATED: usize = 2 * 1024;

/// A connection's stream, shared by hyper (through [`LinkIo`]) and the connection's task.
pub(crate) struct Link<S> {
    inner: Mutex<Inner<S>>,
    activity: Arc<Activity>,
}

struct Inner<S> {
    stream: S,
    kept: Vec<u8>,
    written: usize,
    scan: HeadScan,
    scanned: u64,
    sent: u64,
    blocked: bool,
    /// By what was written before, and not yet flushed.
    unflushed: bool,
}

/// The link as hyper's stream.
pub(crate) struct LinkIo<S>(pub(crate) Arc<Link<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(crate) fn new(stream: S, activity: Arc<Activity>) -> Arc<Self> {
        let inner = Inner {
            stream,
            kept: Vec::new(),
            written: 0,
            scan: HeadScan::default(),
            scanned: 0,
            sent: 0,
            blocked: false,
            unflushed: false,
        };
        Arc::new(Self { inner: Mutex::new(inner), activity })
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was kept; ready when nothing is left.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_send(cx, &self.activity)
    }

    /// Writes what can be written of what was kept. Says how many bytes the socket has taken so far, and whether it takes no
    /// more just now.
    pub(crate) fn send_now(&self, cx: &mut Context<'_>) -> io::Result<(u64, bool)> {
        let mut inner = self.lock();
        if let Poll::Ready(Err(error)) = inner.poll_send(cx, &self.activity) {
            return Err(error);
        }
        Ok((inner.sent, inner.blocked))
    }

    /// Whether anything waits for the socket to take it.
    pub(crate) fn has_unsent(&self) -> bool {
        let inner = self.lock();
        inner.written < inner.kept.len() || inner.unflushed
    }

    /// Sends `bytes` after all else. Cancel safety: a part of them may have been sent.
    pub(crate) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.lock().kept.extend_from_slice(bytes);
        std::future::poll_fn(|cx| self.poll_send(cx)).await
    }

    /// Reads without a look at what it is, after HTTP.
    pub(crate) fn poll_read_raw(&self, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.lock().stream).poll_read(cx, target))?;
        self.activity.stripe().received(read);
        Poll::Ready(Ok(read))
    }

    /// Writes without keeping anything, after HTTP.
    pub(crate) fn poll_write_raw(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        ready!(inner.poll_send(cx, &self.activity))?;
        let written = Pin::new(&mut inner.stream).poll_write_vectored(cx, slices);
        inner.wrote(written, &self.activity)
    }

    pub(crate) fn poll_flush_raw(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_flush(cx)
    }

    pub(crate) fn poll_close_raw(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_close(cx)
    }

    /// Sends what is left, closes the write side, then reads until the peer has closed its own or has sent `most`
    /// bytes more: a socket that is dropped with unread input resets the connection, and the last response would be
    /// lost on its way.
    pub(crate) async fn linger(&self, most: usize) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            let mut inner = self.lock();
            ready!(inner.poll_send(cx, &self.activity))?;
            Pin::new(&mut inner.stream).poll_close(cx)
        })
        .await?;
        let mut left = most;
        let mut sink = vec![0; 4096];
        while left > 0 && !self.activity.has_input_ended() {
            let read =
                std::future::poll_fn(|cx| Pin::new(&mut self.lock().stream).poll_read(cx, &mut sink)).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        Ok(())
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>, activity: &Activity) -> Poll<io::Result<()>> {
        while let Some(rest) = self.kept.get(self.written..)
            && !rest.is_empty()
        {
            let written = Pin::new(&mut self.stream).poll_write(cx, rest);
            let written = ready!(self.wrote(written, activity))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written = self.written.saturating_add(written);
        }
        // Nothing for a socket; TLS may hold records back.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_pending() || self.unflushed {
            self.unflushed = flushed.is_pending();
            self.blocked = self.unflushed;
        }
        ready!(flushed)?;
        self.written = 0;
        if self.kept.capacity() > KEEP_ALLOCATED {
            self.kept = Vec::new();
        } else {
            self.kept.clear();
        }
        Poll::Ready(Ok(()))
    }

    fn has_read(&mut self, bytes: &[u8], activity: &Activity) {
        activity.stripe().received(bytes.len());
        if bytes.is_empty() {
            activity.input_ended();
        } else if !activity.is_busy() {
            if self.scanned != activity.requests() || !activity.has_head_begun() {
                self.scanned = activity.requests();
                self.scan = HeadScan::default();
            }
            activity.head_bytes(self.scan.take(bytes));
        }
    }

    fn wrote(&mut self, polled: Poll<io::Result<usize>>, activity: &Activity) -> Poll<io::Result<usize>> {
        self.blocked = polled.is_pending();
        if let Poll::Ready(Ok(count)) = &polled {
            self.sent = self.sent.wrapping_add(u64::try_from(*count).unwrap_or(u64::MAX));
            activity.stripe().sent(*count);
        }
        polled
    }

    fn keep_or_write(
        &mut self,
        cx: &mut Context<'_>,
        activity: &Activity,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().fold(0_usize, |sum, slice| sum.saturating_add(slice.len()));
        if self.kept.len().saturating_add(length) <= KEEP {
            slices.iter().for_each(|slice| self.kept.extend_from_slice(slice));
            return Poll::Ready(Ok(length));
        }
        ready!(self.poll_send(cx, activity))?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(written, activity)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for LinkIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        let read = ready!(Pin::new(&mut inner.stream).poll_read(cx, target))?;
        inner.has_read(target.get(..read).unwrap_or(&[]), &self.0.activity);
        Poll::Ready(Ok(read))
    }
}

impl<S: ReadUninit + AsyncWrite + Unpin> ReadUninit for LinkIo<S> {
    fn poll_read_uninit<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &'a mut [MaybeUninit<u8>],
    ) -> Option<Poll<io::Result<&'a mut [u8]>>> {
        let mut inner = self.0.lock();
        let polled = Pin::new(&mut inner.stream).poll_read_uninit(cx, buffer)?;
        if let Poll::Ready(Ok(bytes)) = &polled {
            inner.has_read(bytes, &self.0.activity);
        }
        Some(polled)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LinkIo<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().keep_or_write(cx, &self.0.activity, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().keep_or_write(cx, &self.0.activity, slices)
    }

    /// The connection's task sends what was kept, after its poll.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        ready!(inner.poll_send(cx, &self.0.activity))?;
        Pin::new(&mut inner.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Metrics;
    use futures_lite::future::block_on;
    use std::task::Waker;

    /// A socket that takes `room` bytes and whose peer has closed its side.
    #[derive(Default)]
    struct HalfClosed {
        room: usize,
        taken: Vec<u8>,
    }

    impl AsyncRead for HalfClosed {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(0))
        }
    }

    impl AsyncWrite for HalfClosed {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = self.room.min(bytes.len());
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_a_slow_reader_has_not_taken_is_known_and_sent_after_its_half_close() {
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let activity = Arc::new(Activity::new(peer, Metrics::new().stripe()));
        let link = Link::new(HalfClosed { room: 3, ..HalfClosed::default() }, Arc::clone(&activity));
        let mut io = LinkIo(Arc::clone(&link));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut io).poll_write(&mut cx, b"answer").is_ready());
        assert!(Pin::new(&mut io).poll_read(&mut cx, &mut [0; 8]).is_ready());
        assert!(link.poll_send(&mut cx).is_pending());
        assert!(activity.has_input_ended() && link.has_unsent());
        link.lock().stream.room = 8;
        block_on(link.linger(0)).expect("sent");
        assert!(!link.has_unsent());
        assert_eq!(link.lock().stream.taken, b"answer");
    }
}

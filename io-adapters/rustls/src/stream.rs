//! A TLS session over a stream.

use crate::handshake::Handshake;
use futures_io::{AsyncRead, AsyncWrite};
use rustls::Connection;
use shroud_runtime::ByteStream;
use shroud_runtime::net::ReadUninit;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

/// Ciphertext that may wait for the socket: a write is not taken while any does.
pub(crate) const MAX_UNSENT: usize = 64 * 1024;

/// What rustls reads at a time. A read that fills it is followed by others through a [`BULK`] buffer.
const DIRECT: usize = 4 * 1024;

/// The buffer of a peer that sends much. It is given back as soon as the socket is empty.
const BULK: usize = 64 * 1024;

/// Reads that brought no data (empty records, tickets, key updates) before other tasks get a turn.
const MAX_FRUITLESS: u32 = 32;

/// A TLS session over `S`, once its handshake is done. Made by [`crate::accept`] and [`crate::connect`].
///
/// - **Reading** ends with `Ok(0)` when the peer has closed its side properly. A connection that ended without that may
///   have been cut by somebody else: that is [`io::ErrorKind::UnexpectedEof`] (RFC 8446, 6.1). A peer that breaks the
///   protocol is told so by an alert and reported as [`io::ErrorKind::InvalidData`] with a [`rustls::Error`] inside.
/// - **Writing** takes up to 64 KiB at a time, in records of up to 16 KiB, vectored writes packed together, and
///   hands the records to the socket in one call. While the socket takes no more, nor does this. Unlike a plain stream,
///   what was taken may still have to be [flushed](AsyncWrite::poll_flush); reading pushes it on, too.
/// - **Closing** sends `close_notify` and closes the write side; reading goes on until the peer has closed its own.
/// - Reading and writing are cancel safe: bytes are consumed only when a poll returns ready. Two tasks may use the two
///   directions of a split stream.
/// - An idle session keeps no buffers of this crate's, and 4 KiB of rustls's.
pub struct TlsStream<S> {
    stream: S,
    session: Box<Session>,
}

struct Session {
    tls: Connection,
    bulk: Bulk,
    handshake: Option<Arc<Handshake>>,
    /// Who waits for the socket to take what was written.
    writer: Option<Waker>,
    failed: bool,
    closing: bool,
}

/// Bytes read from the socket that rustls has not taken yet.
#[derive(Default)]
struct Bulk {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    wanted: bool,
}

impl<S> TlsStream<S> {
    pub(crate) fn new(stream: S, mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(MAX_UNSENT));
        let session = Session {
            tls,
            bulk: Bulk::default(),
            handshake: None,
            writer: None,
            failed: false,
            closing: false,
        };
        Self { stream, session: Box::new(session) }
    }

    /// What the two sides agreed on.
    #[must_use]
    pub fn handshake(&self) -> Arc<Handshake> {
        match &self.session.handshake {
            Some(handshake) => Arc::clone(handshake),
            None => Arc::new(Handshake::of(&self.session.tls)),
        }
    }

    /// The stream below.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream below, without the session.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Keys for a protocol above, bound to this session (RFC 5705, RFC 8446 7.5).
    ///
    /// # Errors
    /// When `output` is empty or longer than the key schedule gives.
    pub fn export_keys(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), rustls::Error> {
        self.session.tls.export_keying_material(output, label, context).map(|_| ())
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.tls.is_handshaking()
    }

    pub(crate) fn is_client(&self) -> bool {
        matches!(self.session.tls, Connection::Client(_))
    }

    pub(crate) fn settle(mut self) -> Self {
        self.session.handshake = Some(Arc::new(Handshake::of(&self.session.tls)));
        self
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Hands records to the socket until none is left.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = Socket { stream: &mut self.stream, cx, filled: false };
        while self.session.tls.wants_write() {
            match self.session.tls.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// As [`Self::poll_send`], for the writing side: remembers who waits.
    fn poll_send_for_writer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_send(cx);
        self.session.writer = sent.is_pending().then(|| cx.waker().clone());
        sent
    }

    /// As [`Self::poll_send`], for the reading side, which does not depend on it: whoever waits to write stays the one
    /// that the socket wakes.
    fn push_on(&mut self, cx: &mut Context<'_>) {
        if !self.session.tls.wants_write() {
            return;
        }
        match self.session.writer.take() {
            None => {
                let _ = self.poll_send(cx);
            }
            Some(writer) => {
                if self.poll_send(&mut Context::from_waker(&writer)).is_pending() {
                    self.session.writer = Some(writer);
                } else {
                    writer.wake();
                }
            }
        }
    }

    /// Lets rustls see more bytes of the socket, and says how many; none at its end.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Received>> {
        let Session { tls, bulk, failed, .. } = &mut *self.session;
        if *failed {
            return Poll::Ready(Err(Received::Failed));
        }
        let taken = if bulk.start < bulk.end || bulk.wanted {
            ready!(bulk.poll_fill(&mut self.stream, cx)).map_err(Received::Io)?;
            let mut rest = bulk.bytes.get(bulk.start..bulk.end).unwrap_or(&[]);
            let taken = tls.read_tls(&mut rest).map_err(Received::Io)?;
            bulk.start = bulk.start.saturating_add(taken);
            taken
        } else {
            let mut socket = Socket { stream: &mut self.stream, cx, filled: false };
            match tls.read_tls(&mut socket) {
                Ok(taken) => {
                    bulk.wanted = socket.filled;
                    taken
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(Received::Io(error))),
            }
        };
        match tls.process_new_packets() {
            Ok(_) => Poll::Ready(Ok(taken)),
            Err(error) => {
                *failed = true;
                Poll::Ready(Err(Received::Tls(error)))
            }
        }
    }

    fn poll_plaintext(&mut self, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        for _ in 0..MAX_FRUITLESS {
            match self.session.tls.reader().read(target) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            let received = ready!(self.poll_receive(cx));
            // Alerts, tickets, answers to key updates.
            self.push_on(cx);
            received.map_err(Received::into_io)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_write_slices(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.session.closing || self.session.failed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.session.tls.wants_write() {
            ready!(self.poll_send_for_writer(cx))?;
        }
        let taken = self.session.tls.writer().write_vectored(slices)?;
        match self.poll_send_for_writer(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }
}

/// Why nothing more was received.
pub(crate) enum Received {
    Io(io::Error),
    Tls(rustls::Error),
    /// It failed before.
    Failed,
}

impl Received {
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            Self::Tls(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            Self::Failed => io::Error::new(io::ErrorKind::InvalidData, "the TLS session has failed"),
        }
    }
}

impl Bulk {
    /// Reads once when nothing is left.
    fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.start < self.end {
            return Poll::Ready(Ok(()));
        }
        if self.bytes.is_empty() {
            self.bytes = vec![0; BULK];
        }
        (self.start, self.end) = (0, 0);
        match Pin::new(stream).poll_read(cx, &mut self.bytes) {
            Poll::Ready(Ok(count)) => {
                self.end = count.min(self.bytes.len());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                *self = Self::default();
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if target.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.push_on(cx);
        self.poll_plaintext(cx, target)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_for_writer(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.session.closing {
            self.session.closing = true;
            self.session.tls.send_close_notify();
        }
        ready!(self.poll_send_for_writer(cx))?;
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> ReadUninit for TlsStream<S> {}

impl<S: ByteStream> ByteStream for TlsStream<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.stream.set_nodelay(on)
    }

    fn reset(self) -> io::Result<()> {
        self.stream.reset()
    }
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("handshake", &self.session.handshake).finish_non_exhaustive()
    }
}

/// The socket as rustls wants it: `WouldBlock` for pending.
struct Socket<'a, 'b, S> {
    stream: &'a mut S,
    cx: &'a mut Context<'b>,
    /// The last read filled all there was.
    filled: bool,
}

impl<S: AsyncRead + Unpin> Read for Socket<'_, '_, S> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.stream).poll_read(self.cx, target) {
            Poll::Ready(read) => {
                self.filled = matches!(read, Ok(count) if count == target.len() && count >= DIRECT);
                read
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncWrite + Unpin> Write for Socket<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.stream).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.stream).poll_write_vectored(self.cx, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn blocking<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

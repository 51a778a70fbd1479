//! Bytes: any `futures_io` stream as hyper's `Read` and `Write`.

use futures_io::AsyncWrite;
use hyper::rt::{Read, ReadBufCursor, Write};
use shroud_runtime::net::ReadUninit;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The first read's window. hyper hands out uninitialised memory, which has to be zeroed before a `futures_io` reader
/// may see it; most requests fit here, so a small window makes that cost disappear.
const FIRST_WINDOW: usize = 2 * 1024;

/// The window doubles whenever a read fills it, up to this.
const MAX_WINDOW: usize = 64 * 1024;

/// A `futures_io` stream as hyper's `Read` and `Write`.
///
/// Errors surface as they are, vectored writes stay vectored, and hyper's shutdown closes the write side.
#[derive(Debug)]
pub struct HyperIo<S> {
    stream: S,
    window: usize,
    most: usize,
}

impl<S> HyperIo<S> {
    /// Wraps `stream`.
    pub const fn new(stream: S) -> Self {
        Self { stream, window: FIRST_WINDOW, most: usize::MAX }
    }

    /// Reads at most so many bytes at a time, and at least one. hyper doubles its buffers whenever a read fills one: of a body that
    /// is taken slowly, this is what each piece that waits may hold.
    #[must_use]
    pub const fn reading_at_most(mut self, bytes: usize) -> Self {
        self.most = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// The stream.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream, for reading and writing around hyper.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream back again.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: ReadUninit + Unpin> Read for HyperIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let most = self.most.min(buffer.remaining());
        // SAFETY: only what is reported as filled counts as written, and nothing else is written to.
        let whole = unsafe { buffer.as_mut() };
        let (whole, _) = whole.split_at_mut(most);
        let start = whole.as_ptr().cast::<u8>();
        if let Some(polled) = Pin::new(&mut self.stream).poll_read_uninit(cx, whole) {
            let filled = ready!(polled)?;
            if filled.as_ptr() != start {
                return Poll::Ready(Err(io::Error::other(
                    "the stream has not read into the buffer it was given",
                )));
            }
            let read = filled.len();
            // SAFETY: these are the first bytes of the unfilled part, as initialised as every `&mut [u8]`.
            unsafe { buffer.advance(read) };
            return Poll::Ready(Ok(()));
        }
        let window = self.window.min(most);
        let target = buffer.initialize_unfilled_to(window);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, target))?;
        if read > window {
            return Poll::Ready(Err(io::Error::other(
                "the stream claims to have read more than was asked for",
            )));
        }
        // SAFETY: the first `window` bytes of the unfilled part were initialised above, and `read <= window`.
        unsafe { buffer.advance(read) };
        if read == self.window {
            self.window = self.window.saturating_mul(2).min(MAX_WINDOW);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for HyperIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_io::AsyncRead;
    use futures_lite::future::{block_on, poll_fn};
    use hyper::rt::ReadBuf;
    use proptest::prelude::*;
    use std::mem::MaybeUninit;

    /// Hands out its bytes in pieces of at most `piece`, counts vectored writes, and fails on request.
    struct Scripted {
        input: Vec<u8>,
        piece: usize,
        output: Vec<u8>,
        vectored: usize,
        closed: bool,
        fail: bool,
        lie: usize,
        uninit: bool,
    }

    impl Scripted {
        fn new(input: &[u8], piece: usize) -> Self {
            Self {
                input: input.to_vec(),
                piece,
                output: Vec::new(),
                vectored: 0,
                closed: false,
                fail: false,
                lie: 0,
                uninit: false,
            }
        }
    }

    impl AsyncRead for Scripted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            target: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if self.fail {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let n = target.len().min(self.piece).min(self.input.len());
            for (to, from) in target.iter_mut().zip(self.input.drain(..n)) {
                *to = from;
            }
            Poll::Ready(Ok(n + self.lie))
        }
    }

    impl ReadUninit for Scripted {
        fn poll_read_uninit<'a>(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &'a mut [MaybeUninit<u8>],
        ) -> Option<Poll<io::Result<&'a mut [u8]>>> {
            if !self.uninit {
                return None;
            }
            let mut bytes = vec![0; buffer.len()];
            let polled = self.as_mut().poll_read(cx, &mut bytes);
            let from = usize::from(self.lie > 0);
            Some(polled.map_ok(|read| {
                buffer[from..][..read - self.lie].write_copy_of_slice(&bytes[..read - self.lie])
            }))
        }
    }

    impl AsyncWrite for Scripted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.output.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.vectored += 1;
            bytes.iter().for_each(|slice| self.output.extend_from_slice(slice));
            Poll::Ready(Ok(bytes.iter().map(|slice| slice.len()).sum()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.closed = true;
            Poll::Ready(Ok(()))
        }
    }

    fn read_some(io: &mut HyperIo<Scripted>, space: usize) -> io::Result<Vec<u8>> {
        let mut memory = vec![MaybeUninit::uninit(); space];
        let mut buffer = ReadBuf::uninit(&mut memory);
        block_on(poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, buffer.unfilled())))?;
        Ok(buffer.filled().to_vec())
    }

    proptest! {
        #[test]
        fn reads_every_byte_in_order(
            input in proptest::collection::vec(any::<u8>(), 0..40_000),
            piece in 1_usize..20_000,
            space in 1_usize..20_000,
            uninit: bool,
        ) {
            let mut io = HyperIo::new(Scripted::new(&input, piece));
            io.get_mut().uninit = uninit;
            let mut read = Vec::new();
            loop {
                let some = read_some(&mut io, space).unwrap();
                if some.is_empty() {
                    break;
                }
                read.extend(some);
            }
            prop_assert_eq!(read, input);
        }
    }

    #[test]
    fn the_window_grows_for_bulk_and_is_capped() {
        let mut io = HyperIo::new(Scripted::new(&vec![7; 1 << 20], usize::MAX));
        let sizes: Vec<_> = (0..8).map(|_| read_some(&mut io, 1 << 20).unwrap().len()).collect();
        assert_eq!(sizes, [2048, 4096, 8192, 16_384, 32_768, 65_536, 65_536, 65_536]);
    }

    #[test]
    fn no_read_is_larger_than_it_may_be() {
        for uninit in [false, true] {
            for (most, expected) in [(0, 1), (1, 1), (999, 999), (1000, 1000), (1001, 1000)] {
                let mut io = HyperIo::new(Scripted::new(&[7; 5000], usize::MAX)).reading_at_most(most);
                io.get_mut().uninit = uninit;
                assert_eq!(read_some(&mut io, 1000).unwrap().len(), expected, "{most} {uninit}");
            }
        }
    }

    #[test]
    fn read_errors_surface() {
        let mut io = HyperIo::new(Scripted::new(b"", 1));
        io.get_mut().fail = true;
        assert_eq!(read_some(&mut io, 10).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_stream_that_claims_too_much_is_an_error() {
        let mut io = HyperIo::new(Scripted::new(b"abc", 3));
        io.get_mut().lie = 100;
        assert!(read_some(&mut io, 10).is_err());
        let mut io = HyperIo::new(Scripted::new(b"abc", 3));
        (io.get_mut().lie, io.get_mut().uninit) = (1, true);
        assert!(read_some(&mut io, 10).is_err(), "not the beginning of the buffer");
    }

    #[test]
    fn writes_stay_vectored_and_shutdown_closes() {
        let mut io = HyperIo::new(Scripted::new(b"", 1));
        assert!(io.is_write_vectored());
        let parts = [IoSlice::new(b"head"), IoSlice::new(b"body")];
        assert_eq!(block_on(poll_fn(|cx| Pin::new(&mut io).poll_write_vectored(cx, &parts))).unwrap(), 8);
        block_on(poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx))).unwrap();
        let inner = io.into_inner();
        assert_eq!((inner.output.as_slice(), inner.vectored, inner.closed), (&b"headbody"[..], 1, true));
    }
}

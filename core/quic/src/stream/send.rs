//! The sending side of a stream.

use crate::cell::{Early, Hold, State, register};
use crate::error::{ConnectionError, WriteError};
use bytes::{Buf, Bytes};
use futures_io::AsyncWrite;
use quinn_proto::{FinishError, StreamId, VarInt, WriteError as Refused};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The sending side of a stream.
///
/// Writing waits while the peer, or the limit of what may be unacknowledged, allows no more. Dropping it before
/// [`SendStream::finish`] resets the stream with code 0: a peer never takes a torn message for a whole one.
#[derive(Debug)]
pub struct SendStream {
    hold: Hold,
    id: StreamId,
    early: bool,
    /// Finished or reset here: dropping it does nothing more.
    done: bool,
}

impl SendStream {
    pub(crate) fn new(hold: Hold, id: StreamId, early: bool) -> Self {
        Self { hold, id, early, done: false }
    }

    /// The stream's number.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Writes some of `bytes` (at least one, when there is one), and says how many. Cancel safe.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, WriteError> {
        poll_fn(|cx| self.poll_send(cx, bytes)).await
    }

    /// Writes all of `bytes`. Cancel safety: after a drop, some of them were written.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = self.write(rest).await?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes all of a buffer without copying it: it is kept until the peer has acknowledged it. Cancel safety: after a drop,
    /// some of it was written.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn write_chunk(&mut self, mut chunk: Bytes) -> Result<(), WriteError> {
        poll_fn(|cx| self.poll_write_chunk(cx, &mut chunk)).await
    }

    /// As [`SendStream::write_chunk`], as a poll: ready when `chunk` is empty.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn poll_write_chunk(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
    ) -> Poll<Result<(), WriteError>> {
        while chunk.has_remaining() {
            ready!(self.poll_with(cx, |stream| stream.write_chunks(std::slice::from_mut(chunk))))?;
        }
        Poll::Ready(Ok(()))
    }

    /// [`SendStream::write`] as a poll.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, WriteError>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_with(cx, |stream| stream.write(bytes))
    }

    fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut quinn_proto::SendStream<'_>) -> Result<T, Refused>,
    ) -> Poll<Result<T, WriteError>> {
        let written = {
            let mut state = self.hold.lock();
            self.check(&state)?;
            match write(&mut state.machine.send_stream(self.id)) {
                Ok(written) => written,
                Err(Refused::Blocked) => {
                    state.lost()?;
                    register(&mut state.writers, self.id, cx);
                    return Poll::Pending;
                }
                Err(Refused::Stopped(code)) => return Poll::Ready(Err(WriteError::Stopped(code))),
                Err(Refused::ClosedStream) => return Poll::Ready(Err(WriteError::Finished)),
            }
        };
        self.hold.transmit();
        Poll::Ready(Ok(written))
    }

    fn check(&self, state: &State) -> Result<(), WriteError> {
        if self.early && state.early == Early::Rejected {
            return Err(WriteError::EarlyDataRejected);
        }
        if self.done {
            return Err(WriteError::Finished);
        }
        Ok(())
    }

    /// Says that nothing more will be written; what was written is still delivered. Wait for [`SendStream::stopped`] to know
    /// that it was.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(&mut self) -> Result<(), WriteError> {
        {
            let mut state = self.hold.lock();
            self.check(&state)?;
            state.lost()?;
            match state.machine.send_stream(self.id).finish() {
                Ok(()) => {}
                Err(FinishError::Stopped(code)) => return Err(WriteError::Stopped(code)),
                Err(FinishError::ClosedStream) => return Err(WriteError::Finished),
            }
        }
        self.done = true;
        self.hold.transmit();
        Ok(())
    }

    /// Gives the stream up: what was not delivered is lost, and the peer learns `code`. A no-op on one that is over.
    pub fn reset(&mut self, code: VarInt) {
        let reset = {
            let mut state = self.hold.lock();
            let gone = self.early && state.early == Early::Rejected;
            !gone && state.machine.send_stream(self.id).reset(code).is_ok()
        };
        self.done = true;
        if reset {
            self.hold.transmit();
        }
    }

    /// Waits until the peer has acknowledged everything of a finished stream (`None`), or takes no more of it, with its code.
    /// Cancel safe.
    ///
    /// # Errors
    /// When the connection is lost, or the early data was.
    pub async fn stopped(&mut self) -> Result<Option<VarInt>, WriteError> {
        poll_fn(|cx| self.poll_stopped(cx)).await
    }

    /// [`SendStream::stopped`] as a poll.
    ///
    /// # Errors
    /// As [`SendStream::stopped`].
    pub fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<VarInt>, WriteError>> {
        let mut state = self.hold.lock();
        if self.early && state.early == Early::Rejected {
            return Poll::Ready(Err(WriteError::EarlyDataRejected));
        }
        match state.machine.send_stream(self.id).stopped() {
            Ok(Some(code)) => Poll::Ready(Ok(Some(code))),
            Err(_) => Poll::Ready(Ok(None)),
            Ok(None) => {
                state.lost()?;
                register(&mut state.stoppers, self.id, cx);
                Poll::Pending
            }
        }
    }

    /// Streams of a higher priority go first; those of one priority take turns. Default 0.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn set_priority(&self, priority: i32) -> Result<(), WriteError> {
        let mut state = self.hold.lock();
        self.check(&state)?;
        state.machine.send_stream(self.id).set_priority(priority).map_err(|_| WriteError::Finished)
    }

    /// The stream's priority.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn priority(&self) -> Result<i32, WriteError> {
        let mut state = self.hold.lock();
        self.check(&state)?;
        state.machine.send_stream(self.id).priority().map_err(|_| WriteError::Finished)
    }

    /// Why the connection is gone; `None` while it is not.
    #[must_use]
    pub fn connection_error(&self) -> Option<ConnectionError> {
        self.hold.lock().error.clone()
    }
}

impl AsyncWrite for SendStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes).map_err(Into::into)
    }

    /// A no-op: what was written goes out as soon as the peer allows.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Finishes the stream; fine on one that is finished.
    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.finish().map_err(Into::into))
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        {
            let mut state = self.hold.lock();
            state.writers.remove(&self.id);
            state.stoppers.remove(&self.id);
        }
        if !self.done {
            self.reset(VarInt::from_u32(0));
        }
    }
}

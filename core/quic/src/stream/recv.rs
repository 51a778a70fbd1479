//! The receiving side of a stream.

use crate::cell::{Early, Hold, register};
use crate::error::ReadError;
use bytes::Bytes;
use futures_io::AsyncRead;
use quinn_proto::{Chunks, ReadError as Refused, StreamId, VarInt};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The receiving side of a stream.
///
/// The peer may send as much as [`Transport::stream_window`](crate::Transport::stream_window) ahead of what was read: not reading is
/// back-pressure. Dropping it before its end stops the stream with code 0.
#[derive(Debug)]
pub struct RecvStream {
    hold: Hold,
    id: StreamId,
    early: bool,
    replayable: bool,
    /// Read to its end, reset or stopped: dropping it does nothing more.
    over: Option<Over>,
}

#[derive(Debug, Clone, Copy)]
enum Over {
    Ended,
    Reset(VarInt),
    Stopped,
}

impl RecvStream {
    pub(crate) fn new(hold: Hold, id: StreamId, early: bool, replayable: bool) -> Self {
        Self { hold, id, early, replayable, over: None }
    }

    /// The stream's number.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Whether a client opened it in early data (0-RTT) whose handshake had not ended when the stream was accepted: it can be
    /// a replay, so that only what may safely be done twice should be done for it.
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.replayable
    }

    /// The next bytes in order, at most `max_length`, without copying; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_chunk(&mut self, max_length: usize) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|cx| self.poll_read_chunk(cx, max_length)).await
    }

    /// [`RecvStream::read_chunk`] as a poll.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max_length: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        self.poll_with(cx, |chunks| Ok(chunks.next(max_length)?.map(|chunk| chunk.bytes)))
    }

    /// Copies what is there into `buffer`, waiting for at least one byte; 0 at the end (or for an empty buffer). Cancel safe.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        poll_fn(|cx| self.poll_receive(cx, buffer)).await
    }

    /// [`RecvStream::read`] as a poll.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, ReadError>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // What ends the stream right after bytes is kept for the next call.
        let mut after = None;
        let copied = ready!(self.poll_with(cx, |chunks| {
            let mut copied = 0;
            while let Some(room) = buffer.get_mut(copied..).filter(|room| !room.is_empty()) {
                match chunks.next(room.len()) {
                    Ok(Some(chunk)) => {
                        let length = chunk.bytes.len();
                        room.get_mut(..length).unwrap_or_default().copy_from_slice(&chunk.bytes);
                        copied += length;
                    }
                    outcome if copied == 0 => return outcome.map(|_| None),
                    Ok(None) => {
                        after = Some(Over::Ended);
                        break;
                    }
                    Err(Refused::Reset(code)) => {
                        after = Some(Over::Reset(code));
                        break;
                    }
                    Err(Refused::Blocked) => break,
                }
            }
            Ok(Some(copied))
        }))?;
        self.over = self.over.or(after);
        Poll::Ready(Ok(copied.unwrap_or(0)))
    }

    /// All that is left of the stream. Cancel safety: after a drop, what was read is lost.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::TooLong`] as soon as there are more than `limit` bytes.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>, ReadError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.read_chunk(usize::MAX).await? {
            if chunk.len() > limit - all.len() {
                return Err(ReadError::TooLong(limit));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut Chunks<'_>) -> Result<Option<T>, Refused>,
    ) -> Poll<Result<Option<T>, ReadError>> {
        match self.over {
            Some(Over::Ended) => return Poll::Ready(Ok(None)),
            Some(Over::Reset(code)) => return Poll::Ready(Err(ReadError::Reset(code))),
            Some(Over::Stopped) => return Poll::Ready(Err(ReadError::Stopped)),
            None => {}
        }
        let (result, transmit) = {
            let mut state = self.hold.lock();
            if self.early && state.early == Early::Rejected {
                return Poll::Ready(Err(ReadError::EarlyDataRejected));
            }
            let mut stream = state.machine.recv_stream(self.id);
            let Ok(mut chunks) = stream.read(true) else {
                self.over = Some(Over::Stopped);
                return Poll::Ready(Err(ReadError::Stopped));
            };
            let result = read(&mut chunks);
            let transmit = chunks.finalize().should_transmit();
            if let Err(Refused::Blocked) = result {
                state.lost()?;
                register(&mut state.readers, self.id, cx);
            }
            (result, transmit)
        };
        if transmit {
            self.hold.transmit();
        }
        match result {
            Ok(Some(value)) => Poll::Ready(Ok(Some(value))),
            Ok(None) => {
                self.over = Some(Over::Ended);
                Poll::Ready(Ok(None))
            }
            Err(Refused::Blocked) => Poll::Pending,
            Err(Refused::Reset(code)) => {
                self.over = Some(Over::Reset(code));
                Poll::Ready(Err(ReadError::Reset(code)))
            }
        }
    }

    /// Asks the peer to send no more, with an application's code, and drops what was not read. A no-op on a stream that is
    /// over.
    pub fn stop(&mut self, code: VarInt) {
        if self.over.is_some() {
            return;
        }
        self.over = Some(Over::Stopped);
        let stopped = {
            let mut state = self.hold.lock();
            state.readers.remove(&self.id);
            let gone = self.early && state.early == Early::Rejected;
            !gone && state.machine.recv_stream(self.id).stop(code).is_ok()
        };
        if stopped {
            self.hold.transmit();
        }
    }
}

impl AsyncRead for RecvStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_receive(cx, buffer).map_err(Into::into)
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        self.stop(VarInt::from_u32(0));
    }
}

//! Streams.

use crate::error;
use crate::guard::{Guard, Refused};
use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{StreamErrorIncoming, StreamId, WriteBuf};
use std::task::{Context, Poll, ready};

/// Bytes of one read at most: what a reader holds beyond what it has asked for.
const CHUNK: usize = 64 * 1024;

/// The sending side of a stream. Dropping it before its end cancels the request.
pub struct SendStream<B> {
    stream: shroud_quic::SendStream,
    /// A frame that was not written whole yet.
    pending: Option<WriteBuf<B>>,
    /// Finished or reset.
    done: bool,
}

/// The receiving side of a stream. Dropping it before its end asks the peer to send no more, without blame.
#[derive(Debug)]
pub struct RecvStream {
    stream: shroud_quic::RecvStream,
    guard: Guard,
    /// Read before, to know what the stream is for.
    ahead: Option<Bytes>,
    /// What ends when its frames are broken.
    connection: shroud_quic::Connection,
    unidirectional: bool,
}

/// Both sides of a stream.
pub struct BidiStream<B> {
    send: SendStream<B>,
    receive: RecvStream,
}

impl<B> std::fmt::Debug for SendStream<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stream.fmt(f)
    }
}

impl<B> std::fmt::Debug for BidiStream<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BidiStream").field("send", &self.send).field("receive", &self.receive).finish()
    }
}

impl<B> SendStream<B> {
    pub(crate) fn new(stream: shroud_quic::SendStream) -> Self {
        Self { stream, pending: None, done: false }
    }
}

impl<B: Buf> h3::quic::SendStream<B> for SendStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(frame) = &mut self.pending {
            while frame.has_remaining() {
                let written = ready!(self.stream.poll_send(cx, frame.chunk())).map_err(error::write)?;
                frame.advance(written);
            }
            self.pending = None;
        }
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.pending.is_some() {
            return Err(StreamErrorIncoming::Unknown(
                "a frame was to be sent before the last one was".into(),
            ));
        }
        self.pending = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        ready!(self.poll_ready(cx))?;
        self.done = true;
        Poll::Ready(self.stream.finish().map_err(error::write))
    }

    fn reset(&mut self, code: u64) {
        self.pending = None;
        self.done = true;
        self.stream.reset(error::code(code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl<B: Buf> h3::quic::SendStreamUnframed<B> for SendStream<B> {
    fn poll_send<D: Buf>(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut D,
    ) -> Poll<Result<usize, StreamErrorIncoming>> {
        ready!(h3::quic::SendStream::<B>::poll_ready(self, cx))?;
        let written = ready!(self.stream.poll_send(cx, data.chunk())).map_err(error::write)?;
        data.advance(written);
        Poll::Ready(Ok(written))
    }
}

impl<B> Drop for SendStream<B> {
    fn drop(&mut self) {
        if !self.done {
            self.stream.reset(error::code(Code::H3_REQUEST_CANCELLED.value()));
        }
    }
}

impl RecvStream {
    fn request(
        connection: shroud_quic::Connection,
        stream: shroud_quic::RecvStream,
        frame_limit: u64,
    ) -> Self {
        let guard = Guard::request(frame_limit, connection.side());
        Self { stream, guard, ahead: None, connection, unidirectional: false }
    }

    /// A stream whose first bytes were read already.
    pub(crate) fn unidirectional(
        connection: shroud_quic::Connection,
        stream: shroud_quic::RecvStream,
        ahead: Bytes,
        frame_limit: u64,
    ) -> Self {
        let guard = Guard::unidirectional(frame_limit);
        Self { stream, guard, ahead: Some(ahead), connection, unidirectional: true }
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        self.stream.stop(error::code(Code::H3_NO_ERROR.value()));
    }
}

/// The peer's frame is longer than allowed.
#[derive(Debug)]
struct FrameTooLong(u64);

impl std::fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a frame of {} bytes is longer than allowed", self.0)
    }
}

impl std::error::Error for FrameTooLong {}

/// The peer's stream ended in the middle of a frame.
#[derive(Debug)]
struct FrameCutShort;

impl std::fmt::Display for FrameCutShort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the stream ended in the middle of a frame")
    }
}

impl std::error::Error for FrameCutShort {}

impl h3::quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let chunk = match self.ahead.take() {
            Some(ahead) => Some(ahead),
            None => ready!(self.stream.poll_read_chunk(cx, CHUNK)).map_err(error::read)?,
        };
        let Some(bytes) = &chunk else {
            // RFC 9114, 7.1. Of a DATA frame that is cut short, h3 says that it was whole, and panics at the next one.
            if self.guard.is_inside() {
                self.connection.fail(error::code(Code::H3_FRAME_ERROR.value()), "a frame is cut short");
                return Poll::Ready(Err(StreamErrorIncoming::Unknown(Box::new(FrameCutShort))));
            }
            return Poll::Ready(Ok(None));
        };
        match self.guard.look(bytes) {
            Ok(()) => Poll::Ready(Ok(chunk)),
            Err(Refused::TooLong(length)) => {
                let excessive = error::code(Code::H3_EXCESSIVE_LOAD.value());
                self.stream.stop(excessive);
                // Only the control stream has frames among these. h3 forgets a stream whose first read fails, and would go on
                // without the one that no connection may lose (RFC 9114, 6.2.1).
                if self.unidirectional {
                    self.connection.fail(excessive, "a frame is longer than allowed");
                }
                Poll::Ready(Err(StreamErrorIncoming::Unknown(Box::new(FrameTooLong(length)))))
            }
            Err(Refused::Push) => {
                self.connection.fail(error::code(Code::H3_ID_ERROR.value()), "no push was allowed");
                let connection_error = error::closed(&self.connection);
                Poll::Ready(Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error }))
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        self.stream.stop(error::code(code));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl<B> BidiStream<B> {
    pub(crate) fn new(
        connection: shroud_quic::Connection,
        send: shroud_quic::SendStream,
        receive: shroud_quic::RecvStream,
        frame_limit: u64,
    ) -> Self {
        Self { send: SendStream::new(send), receive: RecvStream::request(connection, receive, frame_limit) }
    }
}

impl<B: Buf> h3::quic::SendStream<B> for BidiStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl<B: Buf> h3::quic::RecvStream for BidiStream<B> {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receive.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receive.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receive.recv_id()
    }
}

impl<B: Buf> h3::quic::BidiStream<B> for BidiStream<B> {
    type SendStream = SendStream<B>;
    type RecvStream = RecvStream;

    fn split(self) -> (SendStream<B>, RecvStream) {
        (self.send, self.receive)
    }
}

/// A stream's number: both libraries check it, and both take 62 bits.
fn stream_id(id: shroud_quic::StreamId) -> StreamId {
    StreamId::try_from(u64::from(id)).unwrap_or_else(|_| unreachable!("stream numbers have 62 bits"))
}

//! A connection.

use crate::error;
use crate::stream::{BidiStream, RecvStream, SendStream};
use bytes::Buf;
use h3::quic::{ConnectionErrorIncoming, StreamErrorIncoming};
use shroud_quic::Waiting;
use std::task::{Context, Poll};

/// A QUIC connection for h3.
#[derive(Debug)]
pub struct Connection {
    opener: OpenStreams,
    bidirectional: Waiting,
    unidirectional: Waiting,
}

/// Opens streams of a connection.
#[derive(Debug)]
pub struct OpenStreams {
    connection: shroud_quic::Connection,
    bidirectional: Waiting,
    unidirectional: Waiting,
}

impl Connection {
    /// Over an established connection.
    #[must_use]
    pub fn new(connection: shroud_quic::Connection) -> Self {
        Self {
            opener: OpenStreams::new(connection),
            bidirectional: Waiting::default(),
            unidirectional: Waiting::default(),
        }
    }
}

impl OpenStreams {
    fn new(connection: shroud_quic::Connection) -> Self {
        Self { connection, bidirectional: Waiting::default(), unidirectional: Waiting::default() }
    }
}

impl Clone for OpenStreams {
    fn clone(&self) -> Self {
        Self::new(self.connection.clone())
    }
}

impl<B: Buf> h3::quic::Connection<B> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = OpenStreams;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        let accepted = self.opener.connection.poll_accept_uni(cx, &mut self.unidirectional);
        accepted.map_ok(RecvStream::new).map_err(error::connection)
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BidiStream<B>, ConnectionErrorIncoming>> {
        let accepted = self.opener.connection.poll_accept_bi(cx, &mut self.bidirectional);
        accepted.map_ok(|(send, receive)| BidiStream::new(send, receive)).map_err(error::connection)
    }

    fn opener(&self) -> OpenStreams {
        self.opener.clone()
    }
}

impl<B: Buf> h3::quic::OpenStreams<B> for Connection {
    type BidiStream = BidiStream<B>;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream<B>, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: h3::error::Code, reason: &[u8]) {
        self.opener.connection.close(error::code(code.value()), reason);
    }
}

impl<B: Buf> h3::quic::OpenStreams<B> for OpenStreams {
    type BidiStream = BidiStream<B>;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream<B>, StreamErrorIncoming>> {
        let opened = self.connection.poll_open_bi(cx, &mut self.bidirectional);
        opened.map_ok(|(send, receive)| BidiStream::new(send, receive)).map_err(error::opening)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        let opened = self.connection.poll_open_uni(cx, &mut self.unidirectional);
        opened.map_ok(SendStream::new).map_err(error::opening)
    }

    fn close(&mut self, code: h3::error::Code, reason: &[u8]) {
        self.connection.close(error::code(code.value()), reason);
    }
}

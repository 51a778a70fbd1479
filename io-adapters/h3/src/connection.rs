//! A connection.

use crate::error;
use crate::incoming::Incoming;
use crate::stream::{BidiStream, RecvStream, SendStream};
use bytes::Buf;
use h3::quic::{ConnectionErrorIncoming, StreamErrorIncoming};
use shroud_quic::Waiting;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// A QUIC connection for h3.
#[derive(Debug)]
pub struct Connection {
    opener: OpenStreams,
    bidirectional: Waiting,
    unidirectional: Waiting,
    incoming: Incoming,
    accepted: Accepted,
}

/// What h3 does not tell of the request stream that was accepted last.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    early: Arc<AtomicBool>,
}

impl Accepted {
    /// As [`shroud_quic::RecvStream::is_early`].
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.early.load(Ordering::Relaxed)
    }
}

/// Opens streams of a connection.
#[derive(Debug)]
pub struct OpenStreams {
    connection: shroud_quic::Connection,
    frame_limit: u64,
    bidirectional: Waiting,
    unidirectional: Waiting,
}

impl Connection {
    /// Over a connection. A frame of the peer other than DATA may be `frame_limit` bytes long; a request with a longer one
    /// fails before its payload is taken, and on the control stream the connection does (H3_EXCESSIVE_LOAD).
    #[must_use]
    pub fn new(connection: shroud_quic::Connection, frame_limit: u64) -> Self {
        Self {
            opener: OpenStreams::new(connection, frame_limit),
            bidirectional: Waiting::default(),
            unidirectional: Waiting::default(),
            incoming: Incoming::default(),
            accepted: Accepted::default(),
        }
    }

    /// What is to be known of the request stream that was accepted last.
    #[must_use]
    pub fn accepted(&self) -> Accepted {
        self.accepted.clone()
    }
}

impl OpenStreams {
    fn new(connection: shroud_quic::Connection, frame_limit: u64) -> Self {
        Self {
            connection,
            frame_limit,
            bidirectional: Waiting::default(),
            unidirectional: Waiting::default(),
        }
    }
}

impl Clone for OpenStreams {
    fn clone(&self) -> Self {
        Self::new(self.connection.clone(), self.frame_limit)
    }
}

impl<B: Buf> h3::quic::Connection<B> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = OpenStreams;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        let OpenStreams { connection, frame_limit, .. } = &self.opener;
        while let Poll::Ready(accepted) = connection.poll_accept_uni(cx, &mut self.unidirectional) {
            self.incoming.push(accepted.map_err(error::connection)?);
        }
        let next = ready!(self.incoming.poll_next(cx, connection, *frame_limit));
        Poll::Ready(next.ok_or_else(|| error::closed(connection)))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BidiStream<B>, ConnectionErrorIncoming>> {
        let accepted = self.opener.connection.poll_accept_bi(cx, &mut self.bidirectional);
        let limit = self.opener.frame_limit;
        accepted
            .map_ok(|(send, receive)| {
                self.accepted.early.store(receive.is_early(), Ordering::Relaxed);
                BidiStream::new(self.opener.connection.clone(), send, receive, limit)
            })
            .map_err(error::connection)
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
        let limit = self.frame_limit;
        let connection = &self.connection;
        opened
            .map_ok(|(send, receive)| BidiStream::new(connection.clone(), send, receive, limit))
            .map_err(error::opening)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        let opened = self.connection.poll_open_uni(cx, &mut self.unidirectional);
        opened.map_ok(SendStream::new).map_err(error::opening)
    }

    fn close(&mut self, code: h3::error::Code, reason: &[u8]) {
        self.connection.close(error::code(code.value()), reason);
    }
}

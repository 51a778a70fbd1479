//! The peer's unidirectional streams (RFC 9114, 6.2), until it is known what each is for: QPACK's stay here, the others are h3's.

use crate::error;
use crate::guard::integer;
use crate::qpack::Qpack;
use crate::stream::RecvStream;
use bytes::Bytes;
use h3::error::Code;
use shroud_quic::{Connection, Side};
use std::task::{Context, Poll, ready};

/// Bytes of one read at most. Nothing that belongs on QPACK's streams is long.
const CHUNK: usize = 4096;

/// The type of a stream with a pushed response.
const PUSH: u64 = 0x01;

/// The streams that are here now. There are no more of them than the transport's limit of unidirectional streams.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    untyped: Vec<Untyped>,
    qpack: Vec<(Qpack, shroud_quic::RecvStream)>,
}

/// A stream whose first bytes have not all come.
#[derive(Debug)]
struct Untyped {
    stream: shroud_quic::RecvStream,
    head: Bytes,
}

/// A reason to close the connection.
type Violation = (Code, &'static str);

impl Incoming {
    pub(crate) fn push(&mut self, stream: shroud_quic::RecvStream) {
        self.untyped.push(Untyped { stream, head: Bytes::new() });
    }

    /// The next stream for h3; pending while there is none. `None` when a stream has broken its rules, and the connection was
    /// closed for it.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        frame_limit: u64,
    ) -> Poll<Option<RecvStream>> {
        match self.poll(cx, connection.side()) {
            Ok(Poll::Ready(Untyped { stream, head })) => {
                let connection = connection.clone();
                Poll::Ready(Some(RecvStream::unidirectional(connection, stream, head, frame_limit)))
            }
            Ok(Poll::Pending) => Poll::Pending,
            Err((code, reason)) => {
                connection.fail(error::code(code.value()), reason);
                Poll::Ready(None)
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, side: Side) -> Result<Poll<Untyped>, Violation> {
        let mut at = 0;
        while let Some(untyped) = self.untyped.get_mut(at) {
            match untyped.poll_type(cx) {
                Poll::Pending => at += 1,
                // It ended before it said what it is: to be tolerated (RFC 9114, 6.2).
                Poll::Ready(None) => drop(self.untyped.swap_remove(at)),
                Poll::Ready(Some((kind, rest))) => {
                    let untyped = self.untyped.swap_remove(at);
                    if kind == PUSH {
                        return Err(pushed(side));
                    }
                    let Some(mut qpack) = Qpack::new(kind) else { return Ok(Poll::Ready(untyped)) };
                    if self.qpack.iter().any(|(other, _)| other.is_encoder() == qpack.is_encoder()) {
                        return Err((Code::H3_STREAM_CREATION_ERROR, "two QPACK streams of one kind"));
                    }
                    qpack.look(&rest).map_err(broken)?;
                    self.qpack.push((qpack, untyped.stream));
                }
            }
        }
        for (qpack, stream) in &mut self.qpack {
            while let Poll::Ready(read) = stream.poll_read_chunk(cx, CHUNK) {
                match read {
                    Ok(Some(chunk)) => qpack.look(&chunk).map_err(broken)?,
                    Err(shroud_quic::ReadError::Connection(_)) => break,
                    Ok(None) | Err(_) => {
                        return Err((Code::H3_CLOSED_CRITICAL_STREAM, "a QPACK stream has ended"));
                    }
                }
            }
        }
        Ok(Poll::Pending)
    }
}

/// Only servers push (RFC 9114, 6.2.2), and not to clients that allow none (7.2.7): ours do not.
fn pushed(side: Side) -> Violation {
    match side {
        Side::Server => (Code::H3_STREAM_CREATION_ERROR, "a client cannot push"),
        Side::Client => (Code::H3_ID_ERROR, "no push was allowed"),
    }
}

fn broken(code: Code) -> Violation {
    (code, "there is no dynamic table")
}

impl Untyped {
    /// The stream's type and what was read behind it; `None` when it ended before.
    fn poll_type(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, Bytes)>> {
        loop {
            if let Some((kind, rest)) = integer(&self.head) {
                return Poll::Ready(Some((kind, self.head.slice_ref(rest))));
            }
            match ready!(self.stream.poll_read_chunk(cx, CHUNK)) {
                Ok(Some(chunk)) if self.head.is_empty() => self.head = chunk,
                Ok(Some(chunk)) => self.head = [self.head.as_ref(), &chunk].concat().into(),
                Ok(None) | Err(_) => return Poll::Ready(None),
            }
        }
    }
}

//! A request's body on its way to a server, and once more when it has to be sent again.

use super::fields::forward_trailers;
use crate::http::{Body, BodyError, HeaderMap, StatusCode};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// The body of a client's request. Each attempt to send it gets a body of its own; only the latest of them reads on.
pub(super) enum Source {
    Empty,
    Body(Arc<Mutex<Inner>>),
}

pub(super) struct Inner {
    body: Body,
    /// What has been read so far, while it fits.
    kept: Vec<Piece>,
    kept_bytes: usize,
    keep: usize,
    /// Whether it can be sent from its beginning.
    whole: bool,
    /// Which attempt may read.
    attempt: u64,
    /// Bytes there must be.
    length: Option<u64>,
    read: u64,
    ended: bool,
    /// Whether the client was waited for when it was last read.
    waiting: bool,
    fault: Option<StatusCode>,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Source {
    /// `length` is what the request declares, `keep` so many bytes are kept to be sent again.
    pub(super) fn new(body: Body, length: Option<u64>, keep: usize) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let length = body.size_hint().exact().or(length);
        Self::Body(Arc::new(Mutex::new(Inner {
            body,
            kept: Vec::new(),
            kept_bytes: 0,
            keep,
            whole: true,
            attempt: 0,
            length,
            read: 0,
            ended: false,
            waiting: false,
            fault: None,
        })))
    }

    /// Its length, if it is known. The body of an attempt is exactly as long, or fails.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Body(inner) => lock(inner).length,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The body for the next attempt, from its beginning. Earlier ones fail from now on.
    pub(super) fn attempt(&self) -> Body {
        match self {
            Self::Empty => Body::empty(),
            Self::Body(inner) => {
                let number = {
                    let mut inner = lock(inner);
                    inner.attempt = inner.attempt.wrapping_add(1);
                    inner.attempt
                };
                Body::stream(Attempt { inner: Arc::clone(inner), number, next: 0, sent: 0 })
            }
        }
    }

    /// Whether another attempt could send all of it.
    pub(super) fn can_repeat(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Body(inner) => {
                let inner = lock(inner);
                inner.whole && inner.fault.is_none()
            }
        }
    }

    /// What to tell a client whose body was at fault.
    pub(super) fn fault(&self) -> Option<StatusCode> {
        match self {
            Self::Empty => None,
            Self::Body(inner) => lock(inner).fault,
        }
    }

    /// Whether more of the body is waited for, and not the server.
    pub(super) fn waits_for_client(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Body(inner) => {
                let inner = lock(inner);
                inner.waiting && !inner.ended
            }
        }
    }
}

fn lock(inner: &Arc<Mutex<Inner>>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// The next piece from the client, which is kept while there is room.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.waiting = polled.is_pending();
        let piece = match std::task::ready!(polled) {
            None => {
                self.ended = true;
                return Poll::Ready(self.check_length(true).err().map(Err));
            }
            Some(Err(error)) => {
                self.fail(error.status());
                return Poll::Ready(Some(Err(error)));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.read = self.read.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
                    if let Err(error) = self.check_length(false) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    Piece::Data(data)
                }
                Err(frame) => {
                    if let Err(error) = self.check_length(true) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    let mut trailers = frame.into_trailers().unwrap_or_default();
                    forward_trailers(&mut trailers);
                    Piece::Trailers(trailers)
                }
            },
        };
        self.keep(&piece);
        Poll::Ready(Some(Ok(piece)))
    }

    fn check_length(&mut self, complete: bool) -> Result<(), BodyError> {
        match self.length {
            Some(length) if self.read > length || complete && self.read < length => {
                self.fail(StatusCode::BAD_REQUEST);
                Err(BodyError::Stream("the body is not as long as it was said to be".into()))
            }
            _ => Ok(()),
        }
    }

    fn fail(&mut self, status: StatusCode) {
        self.ended = true;
        self.fault.get_or_insert(status);
    }

    fn keep(&mut self, piece: &Piece) {
        if let Piece::Data(data) = piece {
            self.kept_bytes = self.kept_bytes.saturating_add(data.len());
        }
        // Small pieces cost more than their bytes.
        let pieces = self.kept.len().saturating_mul(64);
        if self.kept_bytes.saturating_add(pieces) > self.keep {
            self.whole = false;
            self.kept = Vec::new();
        } else if self.whole {
            self.kept.push(piece.clone());
        }
    }
}

/// The body as one attempt sends it.
struct Attempt {
    inner: Arc<Mutex<Inner>>,
    number: u64,
    /// The next piece of those kept.
    next: usize,
    sent: u64,
}

impl http_body::Body for Attempt {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut inner = lock(&this.inner);
        if inner.attempt != this.number {
            return Poll::Ready(Some(Err(BodyError::Stream("the request is being sent again".into()))));
        }
        let piece = match inner.kept.get(this.next) {
            Some(piece) => piece.clone(),
            None => match std::task::ready!(inner.poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(piece)) => piece,
            },
        };
        this.next = this.next.saturating_add(1);
        Poll::Ready(Some(Ok(match piece {
            Piece::Data(data) => {
                this.sent = this.sent.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
                Frame::data(data)
            }
            Piece::Trailers(trailers) => Frame::trailers(trailers),
        })))
    }

    fn size_hint(&self) -> SizeHint {
        let length = lock(&self.inner).length;
        length.map_or_else(SizeHint::default, |length| SizeHint::with_exact(length.saturating_sub(self.sent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;

    struct Pieces(Vec<Bytes>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let next = (!self.0.is_empty()).then(|| Ok(Frame::data(self.0.remove(0))));
            Poll::Ready(next)
        }
    }

    fn source(pieces: &[&'static str], length: Option<u64>, keep: usize) -> Source {
        let pieces = pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        Source::new(Body::stream(Pieces(pieces)), length, keep)
    }

    fn all(body: Body) -> Result<Bytes, BodyError> {
        block_on(body.bytes(1000))
    }

    #[test]
    fn it_is_sent_again_from_its_beginning() {
        let source = source(&["one", "two", "three"], None, 1000);
        let mut first = source.attempt();
        assert_eq!(block_on(first.data()).unwrap().unwrap(), "one");
        assert!(source.can_repeat());
        assert_eq!(all(source.attempt()).unwrap(), "onetwothree");
        assert!(block_on(first.data()).is_err(), "an earlier attempt reads nothing more");
        assert_eq!(all(source.attempt()).unwrap(), "onetwothree");
    }

    #[test]
    fn at_the_limit_of_what_is_kept_and_one_past_it() {
        for (keep, again) in [(3, true), (2, false)] {
            let source = source(&["one", "two"], None, keep);
            assert!(source.can_repeat(), "nothing was read");
            block_on(source.attempt().data()).unwrap();
            assert_eq!(source.can_repeat(), again);
        }
    }

    #[test]
    fn it_is_as_long_as_declared_or_fails() {
        for (length, status) in [(6, None), (5, Some(400)), (7, Some(400))] {
            let source = source(&["one", "two"], Some(length), 100);
            assert_eq!(source.length(), Some(length));
            assert_eq!(all(source.attempt()).is_ok(), status.is_none());
            assert_eq!(source.fault().map(|status| status.as_u16()), status);
            assert_eq!(source.can_repeat(), status.is_none());
        }
    }
}

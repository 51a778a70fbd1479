//! A request's body on its way in, with its size and time limits.

use super::super::super::body::BodyError;
use super::super::super::metrics::Stripe;
use bytes::{Buf, Bytes};
use http_body::Frame;
use shroud_h3::RecvStream;
use shroud_h3::h3::server::RequestStream;
use shroud_runtime::time::Sleep;
use shroud_runtime::{Runtime, RuntimeExt};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

pub(super) struct Received<R: Runtime> {
    stream: RequestStream<RecvStream, Bytes>,
    runtime: R,
    stripe: Arc<Stripe>,
    limit: u64,
    /// What the request's `Content-Length` says.
    announced: Option<u64>,
    taken: u64,
    deadline: Instant,
    /// Made when the body has to be waited for.
    overdue: Option<Sleep<R::Alarm>>,
    data: bool,
    ended: bool,
}

impl<R: Runtime> Received<R> {
    pub(super) fn new(
        stream: RequestStream<RecvStream, Bytes>,
        runtime: R,
        stripe: Arc<Stripe>,
        limit: u64,
        announced: Option<u64>,
        deadline: Instant,
    ) -> Self {
        let (taken, overdue, data, ended) = (0, None, true, false);
        Self { stream, runtime, stripe, limit, announced, taken, deadline, overdue, data, ended }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let broken = |error| Some(Err(BodyError::BrokenOff(error)));
        if self.data {
            match ready!(self.stream.poll_recv_data(cx)) {
                Ok(Some(mut piece)) => {
                    let bytes = piece.copy_to_bytes(piece.remaining());
                    self.stripe.received(bytes.len());
                    self.taken = self.taken.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                    if self.taken > self.limit {
                        return Poll::Ready(Some(Err(BodyError::TooLarge { limit: self.limit })));
                    }
                    if self.announced.is_some_and(|announced| self.taken > announced) {
                        return Poll::Ready(broken(Box::new(NotAsAnnounced)));
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                // RFC 9114, 4.1.2: h3 does not count.
                Ok(None) if self.announced.is_some_and(|announced| self.taken < announced) => {
                    return Poll::Ready(broken(Box::new(NotAsAnnounced)));
                }
                Ok(None) => self.data = false,
                Err(error) => return Poll::Ready(broken(Box::new(error))),
            }
        }
        match ready!(self.stream.poll_recv_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(broken(Box::new(error))),
        }
    }
}

/// A body is not as long as its header says.
#[derive(Debug, thiserror::Error)]
#[error("the body is not as long as content-length says")]
struct NotAsAnnounced;

impl<R: Runtime> Unpin for Received<R> {}

impl<R: Runtime> http_body::Body for Received<R> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let frame = match this.poll_next(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let deadline = this.deadline;
                let overdue = this.overdue.get_or_insert_with(|| this.runtime.sleep_until(deadline));
                ready!(Pin::new(overdue).poll(cx));
                this.stripe.timed_out();
                Some(Err(BodyError::TimedOut))
            }
        };
        this.ended = !frame.as_ref().is_some_and(|frame| frame.as_ref().is_ok_and(Frame::is_data));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

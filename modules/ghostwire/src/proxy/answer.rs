//! A response's body on its way to the client. It counts as the server's work until it has ended.

use super::fields::forward_trailers;
use super::upstream::Lease;
use crate::http::{Body, BodyError};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use shroud_runtime::Runtime;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub(super) struct Answer<R: Runtime> {
    body: Body,
    /// Bytes there must be.
    length: Option<u64>,
    read: u64,
    /// None once it has ended.
    lease: Option<Lease<R>>,
}

impl<R: Runtime> Answer<R> {
    /// The body that the client gets: exactly so long, if a length was declared, or broken off.
    pub(super) fn body(body: Body, length: Option<u64>, lease: Lease<R>) -> Body {
        if body.is_end_stream() && length.is_none_or(|length| length == 0) {
            return Body::empty();
        }
        Body::stream(Self { body, length, read: 0, lease: Some(lease) })
    }

    fn failed(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(mut lease) = self.lease.take() {
            lease.failed();
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl<R: Runtime> Unpin for Answer<R> {}

impl<R: Runtime> http_body::Body for Answer<R> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            forward_trailers(trailers);
        }
        let ended = match &frame {
            Some(Err(_)) => false,
            None => true,
            Some(Ok(frame)) => {
                let more = frame.data_ref().map_or(0, Bytes::len);
                this.read = this.read.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
                frame.is_trailers() || this.body.is_end_stream()
            }
        };
        let torn = this.length.is_some_and(|length| this.read > length || ended && this.read < length);
        match frame {
            Some(Err(error)) => this.failed(error),
            _ if torn && this.lease.is_some() => {
                this.failed(BodyError::Stream("the server's response is not as long as it said".into()))
            }
            frame => {
                if ended {
                    this.lease = None;
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.length.is_none_or(|length| self.read >= length)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

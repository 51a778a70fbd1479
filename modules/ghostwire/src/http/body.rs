//! The body of a request or response, whatever HTTP version carries it.

use super::info::ConnectionInfo;
use super::server::Activity;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Sleep;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A body: nothing, bytes in memory, a request being received, or any stream.
#[derive(Default)]
pub struct Body {
    kind: Kind,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    /// A request that has none, from this peer.
    Absent(ConnectionInfo),
    Received(Received),
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>),
}

/// A body that could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than allowed.
    #[error("body longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// It did not arrive in time.
    #[error("body did not arrive in time")]
    TimedOut,
    /// The peer broke it off or framed it wrongly.
    #[error("body broken off or malformed")]
    Broken(#[source] hyper::Error),
    /// The peer broke its HTTP/3 stream off, or framed it wrongly.
    #[error("body broken off or malformed")]
    BrokenOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stream it came from failed.
    #[error("body stream failed")]
    Stream(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BodyError {
    /// What to answer a client that sent such a body.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) | Self::BrokenOff(_) => StatusCode::BAD_REQUEST,
            Self::Stream(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Body {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self { kind: Kind::Empty }
    }

    /// A body that is produced frame by frame.
    pub fn stream(stream: impl http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self { kind: Kind::Stream(Box::pin(stream)) }
    }

    pub(crate) fn received(incoming: Incoming, activity: &Arc<Activity>, limit: u64) -> Self {
        let kind = if http_body::Body::is_end_stream(&incoming) {
            Kind::Absent(activity.info().clone())
        } else {
            let watch = Watch::Http1(Arc::clone(activity));
            Kind::Received(Received { incoming, watch, limit, taken: 0 })
        };
        Self { kind }
    }

    /// A request's body that came as an HTTP/2 stream. `deadline` is for its end.
    pub(crate) fn received_http2(
        incoming: Incoming,
        info: Arc<ConnectionInfo>,
        deadline: Option<Pin<Box<dyn Sleep>>>,
        limit: u64,
    ) -> Self {
        let watch = Watch::Http2 { info, deadline };
        Self { kind: Kind::Received(Received { incoming, watch, limit, taken: 0 }) }
    }

    /// The same body without the server's limits of its size and time, for protocols that have their own. Of HTTP/2 only.
    pub(crate) fn without_limits(mut self) -> Self {
        if let Kind::Received(received) = &mut self.kind
            && let Watch::Http2 { deadline, .. } = &mut received.watch
        {
            received.limit = u64::MAX;
            *deadline = None;
        }
        self
    }

    /// The same body, with these trailers after it (RFC 9110, 6.5).
    ///
    /// HTTP/2 always sends them. HTTP/1.1 sends those that the response's `Trailer` field announces, to a client that
    /// has said `TE: trailers`.
    #[must_use]
    pub fn with_trailers(self, trailers: HeaderMap) -> Self {
        Self::stream(WithTrailers { body: self, trailers: Some(trailers) })
    }

    /// The connection it came on, for a request that a server received.
    pub(crate) fn connection(&self) -> Option<&ConnectionInfo> {
        match &self.kind {
            Kind::Absent(info) => Some(info),
            Kind::Received(received) => Some(received.watch.connection()),
            _ => None,
        }
    }

    /// Who sent it, for a request that a server received over TCP; [`ConnectionInfo::of`] knows for HTTP/3 too.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.connection().map(|info| info.peer)
    }

    /// Reads all of it, at most `limit` bytes. A body that came in one piece is not copied.
    ///
    /// Cancel safety: what was read is lost.
    ///
    /// # Errors
    /// [`BodyError`]; [`BodyError::status`] says what to answer.
    pub async fn bytes(mut self, limit: u64) -> Result<Bytes, BodyError> {
        if let Kind::Full(bytes) = &mut self.kind {
            return within(std::mem::take(bytes), limit);
        }
        if http_body::Body::size_hint(&self).lower() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        let Some(first) = self.data().await? else { return Ok(Bytes::new()) };
        let first = within(first, limit)?;
        let Some(second) = self.data().await? else { return Ok(first) };
        let mut all = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(piece) = next {
            let length = u64::try_from(all.len().saturating_add(piece.len())).unwrap_or(u64::MAX);
            if length > limit {
                return Err(BodyError::TooLarge { limit });
            }
            all.extend_from_slice(&piece);
            next = self.data().await?;
        }
        Ok(all.freeze())
    }

    /// The next frame, of data or of trailers; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// [`BodyError`], after which there is no more.
    pub async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, BodyError> {
        poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *self), cx)).await.transpose()
    }

    /// The next piece of data; `None` at the end. Trailers are skipped. Cancel safe.
    ///
    /// # Errors
    /// [`BodyError`], after which there is no more.
    pub async fn data(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            match self.frame().await?.map(Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_trailers)) => {}
            }
        }
    }
}

fn within(bytes: Bytes, limit: u64) -> Result<Bytes, BodyError> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(bytes)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Empty | Kind::Absent(_) => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Kind::Received(received) => received.poll_frame(cx),
            Kind::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty | Kind::Absent(_) => true,
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Received(received) => received.incoming.is_end_stream(),
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Absent(_) => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Kind::Received(received) => received.incoming.size_hint(),
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}

/// A request's body on its way in, with its size and time limits.
struct Received {
    incoming: Incoming,
    watch: Watch,
    limit: u64,
    taken: u64,
}

/// Who sees to it that the body arrives in time.
enum Watch {
    /// The connection's task, which is told how far it is.
    Http1(Arc<Activity>),
    /// A timer of its own; none once it has arrived.
    Http2 { info: Arc<ConnectionInfo>, deadline: Option<Pin<Box<dyn Sleep>>> },
}

impl Watch {
    fn connection(&self) -> &ConnectionInfo {
        match self {
            Self::Http1(activity) => activity.info(),
            Self::Http2 { info, .. } => info,
        }
    }

    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Http1(activity) => activity.body_overdue(),
            Self::Http2 { deadline, .. } => {
                deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
            }
        }
    }

    fn received(&mut self) {
        match self {
            Self::Http1(activity) => activity.body_received(),
            Self::Http2 { deadline, .. } => *deadline = None,
        }
    }
}

impl Received {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = http_body::Body::poll_frame(Pin::new(&mut self.incoming), cx);
        let result = match polled {
            Poll::Pending if self.watch.is_overdue(cx) => Some(Err(BodyError::TimedOut)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => None,
            Poll::Ready(Some(Err(error))) => Some(Err(BodyError::Broken(error))),
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.taken = self.taken.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                if self.taken > self.limit {
                    Some(Err(BodyError::TooLarge { limit: self.limit }))
                } else {
                    Some(Ok(frame))
                }
            }
        };
        // Nothing follows trailers, whether somebody asks for more or not.
        let trailers = matches!(&result, Some(Ok(frame)) if frame.is_trailers());
        if result.is_none() || trailers || http_body::Body::is_end_stream(&self.incoming) {
            self.watch.received();
        }
        Poll::Ready(result)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Watch::Http1(activity) = &self.watch {
            activity.body_dropped();
        }
    }
}

/// A body with trailers after its data.
struct WithTrailers {
    body: Body,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for WithTrailers {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(None) => {
                Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            // These replace any of the body's own.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {
                Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && self.body.is_end_stream()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Empty | Kind::Absent(_) => "empty",
            Kind::Full(_) => "full",
            Kind::Received(_) => "received",
            Kind::Stream(_) => "stream",
        };
        f.debug_tuple("Body").field(&kind).finish()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { kind: Kind::Full(bytes) }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;
    use proptest::prelude::*;

    /// A stream of given pieces.
    struct Pieces(Vec<Bytes>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            if self.0.is_empty() {
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(Frame::data(self.0.remove(0)))))
        }
    }

    proptest! {
        #[test]
        fn collects_all_pieces_up_to_the_limit(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
            limit in 0_u64..100,
        ) {
            let whole: Vec<u8> = pieces.concat();
            let body = Body::stream(Pieces(pieces.into_iter().map(Bytes::from).collect()));
            match block_on(body.bytes(limit)) {
                Ok(read) => {
                    prop_assert!(whole.len() as u64 <= limit);
                    prop_assert_eq!(&read[..], &whole[..]);
                }
                Err(error) => {
                    prop_assert!(whole.len() as u64 > limit);
                    prop_assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
                }
            }
        }
    }

    #[test]
    fn bytes_in_memory_know_their_size() {
        let body = Body::from("hello");
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
        assert_eq!(block_on(body.bytes(5)).unwrap(), "hello");
        assert!(block_on(Body::from("hello").bytes(4)).is_err());
        assert!(http_body::Body::is_end_stream(&Body::empty()));
        assert_eq!(block_on(Body::empty().bytes(0)).unwrap(), "");
    }
}

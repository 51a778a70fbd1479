//! Messages on their way out: framed, compressed, many to a piece, and the status behind them.

use super::code::Code;
use super::compression::{Encoding, deflate};
use super::frame::{PREFIX_BYTES, put_prefix};
use super::metadata::Metadata;
use super::options::Options;
use super::status::Status;
use super::streaming::deadline_exceeded;
use crate::http::{Body, BodyError};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::HeaderMap;
use http_body::Frame;
use hyper::rt::Sleep;
use prost::Message;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Messages that are ready together go together, up to about so many bytes.
const BATCH: usize = 16 * 1024;

/// Turns messages into frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoder {
    encoding: Encoding,
    from_bytes: usize,
}

impl Encoder {
    /// For a peer that takes gzip or does not.
    pub(super) fn new(options: &Options, gzip_accepted: bool) -> Self {
        let encoding = if options.compress && gzip_accepted { Encoding::Gzip } else { Encoding::Identity };
        Self { encoding, from_bytes: options.compress_from_bytes }
    }

    pub(super) const fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub(super) fn encode<M: Message>(&self, message: &M, out: &mut BytesMut) -> Result<(), Status> {
        let length = message.encoded_len();
        if self.encoding == Encoding::Gzip && length >= self.from_bytes {
            let mut compressed = BytesMut::new();
            deflate(&message.encode_to_vec(), &mut compressed)
                .map_err(|error| Status::new(Code::Internal, format!("compressing failed: {error}")))?;
            // What only grows goes as it is.
            if compressed.len() < length {
                out.reserve(PREFIX_BYTES.saturating_add(compressed.len()));
                put_prefix(out, true, prefix_length(compressed.len())?);
                out.extend_from_slice(&compressed);
                return Ok(());
            }
        }
        let prefix = prefix_length(length)?;
        out.reserve(PREFIX_BYTES.saturating_add(length));
        put_prefix(out, false, prefix);
        message.encode(out).map_err(|error| Status::new(Code::Internal, error.to_string()))
    }

    pub(super) fn one<M: Message>(&self, message: &M) -> Result<Bytes, Status> {
        let mut out = BytesMut::new();
        self.encode(message, &mut out)?;
        Ok(out.freeze())
    }
}

fn prefix_length(length: usize) -> Result<u32, Status> {
    u32::try_from(length).map_err(|_| {
        Status::new(Code::ResourceExhausted, format!("a message of {length} bytes cannot be framed"))
    })
}

/// Frames one message after the other.
pub(super) trait PollEncode: Send {
    /// Appends the next message, framed.
    fn poll_encode(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<Option<Result<(), Status>>>;
}

struct Encoded<S> {
    stream: Pin<Box<S>>,
    encoder: Encoder,
}

impl<S, M> PollEncode for Encoded<S>
where
    S: Stream<Item = Result<M, Status>> + Send,
    M: Message,
{
    fn poll_encode(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<Option<Result<(), Status>>> {
        self.stream
            .as_mut()
            .poll_next(cx)
            .map(|message| Some(message?.and_then(|message| self.encoder.encode(&message, out))))
    }
}

/// The messages of an answer or of a request.
pub(super) enum Messages {
    /// One, framed.
    One(Bytes),
    Stream(Box<dyn PollEncode>),
}

impl Messages {
    pub(super) fn stream<S, M>(stream: S, encoder: Encoder) -> Self
    where
        S: Stream<Item = Result<M, Status>> + Send + 'static,
        M: Message,
    {
        Self::Stream(Box::new(Encoded { stream: Box::pin(stream), encoder }))
    }
}

/// A body of messages.
pub(super) struct Outgoing {
    messages: Messages,
    /// Of a server: the metadata of a good end. A client's stream has none, and breaks off for what is none.
    trailers: Option<Metadata>,
    deadline: Option<Pin<Box<dyn Sleep>>>,
    /// What comes after the data that was given last.
    last: Option<Result<HeaderMap, Status>>,
    ended: bool,
}

impl Outgoing {
    pub(super) fn answer(
        messages: Messages,
        trailers: Metadata,
        deadline: Option<Pin<Box<dyn Sleep>>>,
    ) -> Body {
        Body::stream(Self { messages, trailers: Some(trailers), deadline, last: None, ended: false })
    }

    pub(super) fn request(messages: Messages) -> Body {
        match messages {
            Messages::One(bytes) => Body::from(bytes),
            messages => {
                Body::stream(Self { messages, trailers: None, deadline: None, last: None, ended: false })
            }
        }
    }

    /// What a stream ends with.
    fn ending(&mut self, result: Result<(), Status>) -> Option<Result<HeaderMap, Status>> {
        match (self.trailers.take(), result) {
            (Some(trailers), Ok(())) => {
                Some(Ok(Status::new(Code::Ok, "").with_metadata(trailers).into_trailers()))
            }
            (Some(_), Err(status)) => Some(Ok(status.into_trailers())),
            (None, Ok(())) => None,
            (None, Err(status)) => Some(Err(status)),
        }
    }

    fn end(
        &mut self,
        ending: Option<Result<HeaderMap, Status>>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.ended = true;
        self.messages = Messages::One(Bytes::new());
        Poll::Ready(
            ending.map(|ending| {
                ending.map(Frame::trailers).map_err(|status| BodyError::Stream(Box::new(status)))
            }),
        )
    }
}

impl http_body::Body for Outgoing {
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
        if let Some(last) = this.last.take() {
            return this.end(Some(last));
        }
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            let ending = this.ending(Err(deadline_exceeded()));
            return this.end(ending);
        }
        let messages = match &mut this.messages {
            Messages::One(bytes) => {
                let bytes = std::mem::take(bytes);
                let ending = this.ending(Ok(()));
                this.last = ending;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Messages::Stream(messages) => messages,
        };
        let mut out = BytesMut::new();
        let ending = loop {
            match messages.poll_encode(cx, &mut out) {
                Poll::Ready(Some(Ok(()))) if out.len() < BATCH => {}
                Poll::Ready(Some(Ok(()))) => break None,
                Poll::Ready(Some(Err(status))) => break Some(Err(status)),
                Poll::Ready(None) => break Some(Ok(())),
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => break None,
            }
        };
        let Some(result) = ending else { return Poll::Ready(Some(Ok(Frame::data(out.freeze())))) };
        let ending = this.ending(result);
        if out.is_empty() {
            return this.end(ending);
        }
        match ending {
            Some(ending) => this.last = Some(ending),
            None => this.ended = true,
        }
        this.messages = Messages::One(Bytes::new());
        Poll::Ready(Some(Ok(Frame::data(out.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

/// An answer of another's making that ends at the deadline at the latest.
pub(super) struct Timed {
    body: Body,
    deadline: Pin<Box<dyn Sleep>>,
    ended: bool,
}

impl Timed {
    pub(super) fn body(body: Body, deadline: Pin<Box<dyn Sleep>>) -> Body {
        if http_body::Body::is_end_stream(&body) {
            return body;
        }
        Body::stream(Self { body, deadline, ended: false })
    }
}

impl http_body::Body for Timed {
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
        if this.deadline.as_mut().poll(cx).is_ready() {
            this.ended = true;
            this.body = Body::empty();
            return Poll::Ready(Some(Ok(Frame::trailers(deadline_exceeded().into_trailers()))));
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;
    use futures_util::stream;

    /// Pieces of data and what follows them.
    fn collect(mut body: Body) -> (Vec<usize>, Option<HeaderMap>) {
        block_on(async {
            let (mut pieces, mut trailers) = (Vec::new(), None);
            while let Some(frame) = body.frame().await.unwrap() {
                match frame.into_data() {
                    Ok(data) => pieces.push(data.len()),
                    Err(frame) => trailers = frame.into_trailers().ok(),
                }
            }
            (pieces, trailers)
        })
    }

    fn encoder(compress: bool) -> Encoder {
        Encoder::new(&Options { compress, ..Options::default() }, true)
    }

    #[test]
    fn small_messages_go_together_and_the_status_last() {
        let messages = stream::iter((0..5000).map(|n: u32| Ok(n.to_string())));
        let body = Outgoing::answer(Messages::stream(messages, encoder(false)), Metadata::new(), None);
        let (pieces, trailers) = collect(body);
        assert!(pieces.len() < 10 && pieces.iter().all(|piece| *piece < BATCH + 100), "{pieces:?}");
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    }

    #[test]
    fn what_came_before_an_error_is_sent() {
        let error = Err(Status::new(Code::DataLoss, "gone"));
        let messages = stream::iter([Ok("one".to_owned()), error, Ok("never".to_owned())]);
        let body = Outgoing::answer(Messages::stream(messages, encoder(false)), Metadata::new(), None);
        let (pieces, trailers) = collect(body);
        assert_eq!(pieces, [PREFIX_BYTES + 5]);
        let trailers = trailers.unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["grpc-message"]),
            (&"15".parse().unwrap(), &"gone".parse().unwrap())
        );
    }

    #[test]
    fn requests_have_no_trailers_and_break_off_for_an_error() {
        let body = Outgoing::request(Messages::stream(stream::iter([Ok("a".to_owned())]), encoder(false)));
        assert_eq!(collect(body), (vec![PREFIX_BYTES + 3], None));
        let error: Result<String, Status> = Err(Status::new(Code::Cancelled, ""));
        let mut body = Outgoing::request(Messages::stream(stream::iter([error]), encoder(false)));
        assert!(block_on(body.frame()).is_err());
        assert!(block_on(body.frame()).unwrap().is_none());
    }

    #[test]
    fn short_messages_are_not_compressed() {
        let (short, long) = ("x".repeat(10), "x".repeat(10_000));
        assert_eq!(encoder(true).one(&short).unwrap()[0], 0);
        let compressed = encoder(true).one(&long).unwrap();
        assert!(compressed[0] == 1 && compressed.len() < 200);
        assert_eq!(encoder(false).one(&long).unwrap()[0], 0);
        assert_eq!(
            Encoder::new(&Options { compress: true, ..Options::default() }, false).encoding(),
            Encoding::Identity
        );
    }
}

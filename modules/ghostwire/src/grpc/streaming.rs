//! Messages on their way in.

use super::code::Code;
use super::compression::{Encoding, Inflate, Inflating};
use super::frame::{Decoder, Frame, FrameError};
use super::metadata::Metadata;
use super::options::{Clock, Options};
use super::status::Status;
use crate::http::{Body, BodyError};
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use hyper::rt::Sleep;
use prost::Message;
use shroud_runtime::task::{give_way, poll_budget};
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The messages of one side of a call, as they come. Dropping it gives the call up.
///
/// It is a [`Stream`] of results too. What is not read holds the peer back.
pub struct Streaming<T> {
    incoming: Incoming,
    message: PhantomData<fn() -> T>,
}

/// Who receives.
pub(super) enum Side {
    Server,
    /// The end of the stream has a status; the call may have a deadline.
    Client {
        deadline: Option<Pin<Box<dyn Sleep>>>,
    },
}

/// What a [`Streaming`] is, whatever its messages are.
struct Incoming {
    body: Body,
    decoder: Decoder,
    encoding: Encoding,
    options: Options,
    clock: Clock,
    side: Side,
    /// For the end of the message that has begun.
    late: Option<Pin<Box<dyn Sleep>>>,
    /// The message that is being decompressed.
    inflating: Option<Box<Inflating>>,
    /// Once there is no more to come: the metadata of a good end.
    end: Option<Metadata>,
}

impl<T> Streaming<T> {
    pub(super) fn new(body: Body, encoding: Encoding, options: Options, clock: Clock, side: Side) -> Self {
        let decoder = Decoder::new(options.message_bytes);
        let incoming = Incoming {
            body,
            decoder,
            encoding,
            options,
            clock,
            side,
            late: None,
            inflating: None,
            end: None,
        };
        Self { incoming, message: PhantomData }
    }

    /// The same, of messages of another type.
    pub(super) fn cast<U>(self) -> Streaming<U> {
        Streaming { incoming: self.incoming, message: PhantomData }
    }

    /// A stream that has ended well, with this metadata.
    pub(super) fn ended(mut self, trailers: Metadata) -> Self {
        self.incoming.end = Some(trailers);
        self
    }

    /// What came with the status, once the stream has ended well at a client.
    pub fn trailers(&self) -> Option<&Metadata> {
        self.incoming.end.as_ref()
    }

    pub(super) fn take_trailers(&mut self) -> Metadata {
        self.incoming.end.take().unwrap_or_default()
    }
}

impl<T: Message + Default> Streaming<T> {
    /// The next message; none when the peer has sent all. Cancel safe.
    ///
    /// # Errors
    /// At a client the status of the call, unless that is `OK`. At both: `RESOURCE_EXHAUSTED` for a message that is too
    /// long, `INTERNAL` for what is no message, `DEADLINE_EXCEEDED`, `CANCELLED`. There is nothing more after an error.
    pub async fn message(&mut self) -> Result<Option<T>, Status> {
        poll_fn(|cx| self.poll_message(cx)).await.transpose()
    }

    /// The one message that there must be.
    pub(super) async fn single(&mut self) -> Result<T, Status> {
        // gRPC, "Status codes": a wrong number of messages is UNIMPLEMENTED.
        let count = |text| Status::new(Code::Unimplemented, text);
        let message = self.message().await?.ok_or_else(|| count("one message was expected, none came"))?;
        match self.message().await? {
            None => Ok(message),
            Some(_) => Err(count("one message was expected, more came")),
        }
    }

    /// As [`Streaming::message`], for use inside of other futures and streams.
    pub fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Status>>> {
        self.incoming.poll_message(cx).map(|message| {
            let decoded = message?.and_then(|bytes| {
                T::decode(bytes).map_err(|error| {
                    self.incoming.give_up();
                    Status::new(Code::Internal, format!("a message that cannot be decoded: {error}"))
                })
            });
            Some(decoded)
        })
    }
}

impl<T: Message + Default> Stream for Streaming<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(cx)
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").field("ended", &self.incoming.end.is_some()).finish_non_exhaustive()
    }
}

impl Incoming {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        let polled = self.poll_undecided(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => self.late = None,
            Poll::Ready(Some(Err(_))) => self.give_up(),
            _ => {}
        }
        polled
    }

    /// Nothing more will be read: the peer is told by the drop of the body.
    fn give_up(&mut self) {
        self.body = Body::empty();
        self.inflating = None;
        self.late = None;
        self.end.get_or_insert_default();
    }

    fn poll_undecided(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if let Side::Client { deadline: Some(deadline) } = &mut self.side
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(deadline_exceeded())));
        }
        loop {
            if let Some(inflating) = &mut self.inflating {
                if !inflating.turn.enter() {
                    return give_way(cx);
                }
                return match inflating.step() {
                    Ok(None) => give_way(cx),
                    Ok(Some(message)) => {
                        self.inflating = None;
                        Poll::Ready(Some(Ok(message)))
                    }
                    Err(error) => Poll::Ready(Some(Err(not_inflated(&error)))),
                };
            }
            // Thousands of messages may have come in one piece: others have their turn in between.
            ready!(poll_budget(cx));
            match self.decoder.poll_frame() {
                Ok(Some(Frame { compressed: false, bytes })) => return Poll::Ready(Some(Ok(bytes))),
                Ok(Some(_)) if self.encoding == Encoding::Identity => {
                    let text = "a compressed message without grpc-encoding";
                    return Poll::Ready(Some(Err(Status::new(Code::Internal, text))));
                }
                Ok(Some(Frame { bytes, .. })) => {
                    self.inflating = Some(Box::new(Inflating::new(bytes, self.options.message_bytes)));
                    continue;
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(refused(&error)))),
            }
            match http_body::Body::poll_frame(Pin::new(&mut self.body), cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => self.decoder.handle_data(piece),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return Poll::Ready(self.finish(Some(&trailers)).err().map(Err));
                    }
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(self.broken(&error)))),
                Poll::Ready(None) => return Poll::Ready(self.finish(None).err().map(Err)),
                Poll::Pending => return self.poll_late(cx),
            }
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if !self.decoder.is_inside() {
            return Poll::Pending;
        }
        let time = self.options.message_time;
        let late = self.late.get_or_insert_with(|| self.clock.sleep(time));
        late.as_mut().poll(cx).map(|()| {
            let text = format!("a message did not arrive within {time:?}");
            Some(Err(Status::new(Code::DeadlineExceeded, text)))
        })
    }

    /// The peer has sent all.
    fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Status> {
        let whole = self.decoder.finish().map_err(|error| refused(&error));
        if matches!(self.side, Side::Server) {
            self.end = Some(Metadata::new());
            return whole;
        }
        let status = trailers.and_then(Status::from_headers);
        let status =
            status.ok_or_else(|| Status::new(Code::Internal, "the server's stream ended without a status"));
        match status {
            Ok(status) if status.code() != Code::Ok => Err(status),
            Ok(status) => whole.map(|()| self.end = Some(status.metadata().clone())),
            // What is broken first is told.
            Err(missing) => Err(whole.err().unwrap_or(missing)),
        }
    }

    fn broken(&self, error: &BodyError) -> Status {
        match (&self.side, error) {
            (Side::Server, _) => {
                Status::new(Code::Cancelled, format!("the caller broke the call off: {error}"))
            }
            (Side::Client { .. }, BodyError::Broken(error)) => of_connection(error),
            (Side::Client { .. }, _) => Status::new(Code::Unavailable, error.to_string()),
        }
    }
}

pub(super) fn deadline_exceeded() -> Status {
    Status::new(Code::DeadlineExceeded, "the deadline is over")
}

fn not_inflated(error: &Inflate) -> Status {
    let code = match error {
        Inflate::TooLong(_) => Code::ResourceExhausted,
        Inflate::Malformed => Code::Internal,
    };
    Status::new(code, error.to_string())
}

fn refused(error: &FrameError) -> Status {
    let code = match error {
        FrameError::TooLong { .. } => Code::ResourceExhausted,
        FrameError::Flag(_) | FrameError::Truncated { .. } => Code::Internal,
    };
    Status::new(code, error.to_string())
}

/// What a failure of the connection or the stream means to a client.
pub(super) fn of_connection(error: &hyper::Error) -> Status {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let code = match error.reason() {
                Some(reason) if !error.is_go_away() => Code::of_reset(reason),
                _ => Code::Unavailable,
            };
            return Status::new(code, error.to_string());
        }
        source = cause.source();
    }
    Status::new(Code::Unavailable, error.to_string())
}

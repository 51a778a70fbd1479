//! An HTTP/1.1 connection, which one exchange uses at a time.
//!
//! It is driven by whoever waits for its response. Once that has been read to its end, the connection is kept for the
//! next request to the same server; one whose response is dropped before is closed.

use super::super::body::{Body, BodyError};
use super::Client;
use super::pool::Place;
use super::target::Target;
use super::transport::Transport;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper::rt::{Sleep, Timer};
use shroud_hyper::{HyperIo, HyperTimer};
use shroud_runtime::Runtime;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

/// hyper's connection over a stream with TLS or without.
type Http1<R> = Connection<HyperIo<Transport<<R as Runtime>::Stream>>, Body>;

/// A connection, with no response outstanding.
pub(super) struct Open<R: Runtime> {
    pub(super) sender: SendRequest<Body>,
    pub(super) connection: Pin<Box<Http1<R>>>,
    pub(super) since: Instant,
    /// Kept as long as the connection is.
    #[allow(dead_code, reason = "its drop is what counts")]
    pub(super) place: Place,
}

/// What an exchange came to, or its request when it was not sent.
pub(super) type Asked = Result<Result<Response<Body>, Failure>, Box<Request<Body>>>;

/// Why there is no response.
pub(super) enum Failure {
    Connection(hyper::Error),
    /// The connection ended without a word.
    Ended,
}

impl<R: Runtime> Open<R> {
    /// Whether it still works, as far as can be told: sees a close that came in meanwhile.
    pub(super) async fn is_ready(&mut self) -> bool {
        let ended = poll_fn(|cx| Poll::Ready(self.connection.as_mut().poll(cx).is_ready())).await;
        !ended && self.sender.is_ready()
    }

    /// One exchange; gives the request back when it was not sent.
    pub(super) async fn ask(
        mut self,
        client: &Client<R>,
        target: &Target,
        mut request: Request<Body>,
    ) -> Asked {
        target.name_for_http1(&mut request);
        let answer = self.sender.try_send_request(request);
        let response = match drive(&mut self.connection, answer).await {
            Some(Ok(response)) => response,
            Some(Err(mut error)) => {
                return match error.take_message() {
                    Some(unsent) => Err(Box::new(unsent)),
                    None => Ok(Err(Failure::Connection(error.into_error()))),
                };
            }
            None => return Ok(Err(Failure::Ended)),
        };
        let (head, incoming) = response.into_parts();
        if http_body::Body::is_end_stream(&incoming) {
            client.keep(&target.key, self);
            return Ok(Ok(Response::from_parts(head, Body::empty())));
        }
        Ok(Ok(Response::from_parts(head, self.body(incoming, client, target))))
    }

    /// The body of a response, whose reader drives this connection.
    pub(super) fn body(self, incoming: Incoming, client: &Client<R>, target: &Target) -> Body {
        let (client, key) = (client.clone(), target.key.clone());
        Body::stream(Owned { open: Some(self), incoming, client, key, overdue: None })
    }
}

/// A response's body, whose reader drives the connection.
struct Owned<R: Runtime> {
    open: Option<Open<R>>,
    incoming: Incoming,
    client: Client<R>,
    key: String,
    overdue: Option<Pin<Box<dyn Sleep>>>,
}

impl<R: Runtime> Owned<R> {
    /// Lets the connection see that the response was taken, so that it becomes ready again, and keeps it.
    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(mut open) = self.open.take()
            && open.connection.as_mut().poll(cx).is_pending()
        {
            self.client.keep(&self.key, open);
        }
    }
}

impl<R: Runtime> http_body::Body for Owned<R> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        for _ in 0..3 {
            match Pin::new(&mut this.incoming).poll_frame(cx) {
                Poll::Ready(Some(Err(error))) => {
                    this.open = None;
                    return Poll::Ready(Some(Err(BodyError::Broken(error))));
                }
                Poll::Ready(frame) => {
                    this.overdue = None;
                    // Nothing follows trailers, whether somebody asks for more or not.
                    let trailers = matches!(&frame, Some(Ok(frame)) if frame.is_trailers());
                    if frame.is_none() || trailers || http_body::Body::is_end_stream(&this.incoming) {
                        this.finish(cx);
                    }
                    return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
                }
                Poll::Pending => {}
            }
            // The connection ended and left it waiting.
            let Some(open) = &mut this.open else { return Poll::Ready(Some(Err(BodyError::TimedOut))) };
            if open.connection.as_mut().poll(cx).is_ready() {
                this.open = None;
            }
        }
        let Client { shared } = &this.client;
        let overdue = this
            .overdue
            .get_or_insert_with(|| HyperTimer::new(shared.runtime.clone()).sleep(shared.limits.read_time));
        overdue.as_mut().poll(cx).map(|()| Some(Err(BodyError::TimedOut)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Runs `work` together with the connection it depends on; `None` when the connection ended and left it waiting.
async fn drive<C: Future, F: Future>(connection: &mut Pin<Box<C>>, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut ended = false;
    poll_fn(|cx| {
        for _ in 0..2 {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                // Lets the connection see that the response was taken, so that it becomes ready again.
                if !ended {
                    let _ = connection.as_mut().poll(cx);
                }
                return Poll::Ready(Some(output));
            }
            if ended {
                return Poll::Ready(None);
            }
            ended = connection.as_mut().poll(cx).is_ready();
        }
        if ended { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

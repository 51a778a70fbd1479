//! JSON-RPC over WebSocket: the same methods as over HTTP, and subscriptions.

use super::server::{Methods, RpcHandler};
use crate::http::Handler;
use crate::websocket::{self, CloseCode, Message, Options, Text, WebSocket};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::value::RawValue;
use shroud_wire::jsonrpc::{self, Json, RpcError, write_error, write_result};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The end of the names of methods that subscribe: only messages that hold it are looked at by a [`Subscriber`].
const MARK: &[u8] = b"ubscribe\"";

/// Methods some of which go on telling: one [`Subscriber`] for each connection.
pub trait Subscriptions: Methods {
    /// What a connection is subscribed to.
    type Subscriber: Subscriber;

    /// A connection that is subscribed to nothing.
    fn subscriber(&self) -> Self::Subscriber;
}

/// What one connection is subscribed to.
pub trait Subscriber: Send + 'static {
    /// Answers the methods that subscribe and unsubscribe; `None` for all others.
    fn call(&mut self, method: &str, params: Option<&RawValue>) -> Option<Result<Json, RpcError>>;

    /// The next notification, whole.
    ///
    /// # Errors
    /// [`Behind`] when some were lost because the connection took them too slowly: it is closed then.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Json, Behind>>;
}

/// A connection took its notifications too slowly, and some were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too slow: notifications were lost")]
pub struct Behind;

/// A handler that opens WebSocket connections and answers `handler`'s methods over them.
///
/// Calls of a connection run at the same time, at most [`super::RpcLimits::concurrency`] of them, and are answered as they
/// finish. When the node stops, those in work are answered before the connection is closed (1001).
pub fn over_websocket<M: Subscriptions>(handler: RpcHandler<M>, mut options: Options) -> impl Handler {
    let longest = handler.limits().message.bytes;
    (options.settings.message_bytes, options.settings.frame_bytes) = (longest, longest);
    let handler = Arc::new(handler);
    websocket::serve(options, move |socket, _| answer_all(Arc::clone(&handler), socket))
}

enum Step {
    Received(Message),
    Answered(Option<Vec<u8>>),
    Notified(Result<Json, Behind>),
    Stopping,
    Drained,
    Over,
}

async fn answer_all<M: Subscriptions>(handler: Arc<RpcHandler<M>>, mut socket: WebSocket) {
    let most = handler.limits().concurrency.max(1);
    let mut subscriber = handler.methods().subscriber();
    let mut running = FuturesUnordered::new();
    let mut stopped = socket.stopping();
    loop {
        let step = poll_fn(|cx| {
            let stopping = stopped.as_mut().is_none_or(|stopped| Pin::new(stopped).poll(cx).is_ready());
            if stopping && stopped.take().is_some() {
                return Poll::Ready(Step::Stopping);
            }
            if socket.has_room() {
                match running.poll_next_unpin(cx) {
                    Poll::Ready(Some(answer)) => return Poll::Ready(Step::Answered(answer)),
                    Poll::Ready(None) if stopping => return Poll::Ready(Step::Drained),
                    _ => {}
                }
                if let Poll::Ready(notified) = subscriber.poll_next(cx) {
                    return Poll::Ready(Step::Notified(notified));
                }
            }
            if stopping || running.len() >= most || !socket.has_room() {
                return socket
                    .poll_drive(cx)
                    .map(|open| if open { Step::Answered(None) } else { Step::Over });
            }
            socket.poll_receive(cx).map(|received| match received {
                Ok(Some(message)) => Step::Received(message),
                _ => Step::Over,
            })
        })
        .await;
        let answer = match step {
            Step::Received(message) => {
                let message = message.into_bytes();
                match subscribe(&mut subscriber, &message, &handler.limits().message) {
                    Some(answer) => answer,
                    None => {
                        let handler = Arc::clone(&handler);
                        running.push(async move { handler.answer(&message).await });
                        None
                    }
                }
            }
            Step::Answered(answer) => answer,
            Step::Notified(Ok(notification)) => Some(notification.into_bytes()),
            Step::Notified(Err(behind)) => {
                socket.close(CloseCode::POLICY, &behind.to_string()).await;
                return;
            }
            Step::Stopping => None,
            Step::Drained => {
                socket.close(CloseCode::GOING_AWAY, "the node stops").await;
                return;
            }
            Step::Over => return,
        };
        if let Some(answer) = answer
            && let Ok(text) = Text::try_from(Bytes::from(answer))
            && socket.feed(text).await.is_err()
        {
            return;
        }
    }
}

/// Answers a message that subscribes or unsubscribes; `None` when it does something else. The inner `None`: it was a
/// notification, which wants no answer.
fn subscribe(
    subscriber: &mut impl Subscriber,
    message: &[u8],
    limits: &jsonrpc::Limits,
) -> Option<Option<Vec<u8>>> {
    memchr::memmem::find(message, MARK)?;
    let Ok(jsonrpc::Message::Single(request)) = jsonrpc::parse(message, limits) else { return None };
    let result = subscriber.call(&request.method, request.params)?;
    let mut out = Vec::new();
    match (request.id, result) {
        (None, _) => return Some(None),
        (Some(id), Ok(result)) => write_result(&mut out, id, &result),
        (Some(id), Err(error)) => write_error(&mut out, id, &error),
    }
    Some(Some(out))
}

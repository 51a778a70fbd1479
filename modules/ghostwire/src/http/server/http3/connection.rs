//! The task of one connection. Its requests are no tasks of their own: an answer that is ready is written by the poll that
//! made it, and shares its packets with the others.

use super::super::super::handler::Handler;
use super::super::super::limits::Limits;
use super::super::super::metrics::Stripe;
use super::super::Counted;
use super::super::turn::Requests;
use super::code;
use super::respond::{Context, respond};
use bytes::Bytes;
use shroud_h3::h3;
use shroud_h3::h3::error::{Code, ConnectionError};
use shroud_h3::h3::server::RequestResolver;
use shroud_quic::Connecting;
use shroud_runtime::task::{give_way, polled_at};
use shroud_runtime::{Runtime, RuntimeExt};
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// What happens to a connection.
enum Event {
    Request(Box<RequestResolver<shroud_h3::Connection, Bytes>>),
    /// Nothing more will come, or all was answered after GOAWAY.
    Over,
    Failed(ConnectionError),
    Stop,
    Idle,
}

/// Serves one connection to its end.
pub(super) async fn run<R: Runtime, H: Handler>(
    runtime: R,
    connecting: Connecting,
    port: u16,
    counted: Counted<H>,
    stripe: Arc<Stripe>,
) {
    // Before its handshake has ended, so that safe requests in early data are served at once.
    let Ok((connection, _)) = connecting.into_0rtt() else { return };
    stripe.connection_opened();
    let _closed = OnDrop(&stripe);
    let limits = Arc::clone(&counted.service.limits);
    let peer = connection.remote_address();
    let binding = shroud_h3::Connection::new(connection.clone(), frame_limit(&limits));
    let accepted = binding.accepted();
    let header_bytes = u64::try_from(limits.header_bytes).unwrap_or(u64::MAX);
    let mut builder = h3::server::builder();
    builder.max_field_section_size(header_bytes).send_grease(false);
    let stopping = runtime.stopping();
    // Which waits for the client's handshake, unless it came with early data.
    let mut http = match stopping.run_until(builder.build(binding)).await {
        Some(Ok(http)) => http,
        Some(Err(error)) => return tracing::debug!(%peer, %error, "http/3 connection failed"),
        None => return connection.close(code(Code::H3_NO_ERROR), b""),
    };
    let context = Arc::new(Context::new(
        runtime.clone(),
        connection.clone(),
        port,
        Arc::clone(&counted.service),
        Arc::clone(&stripe),
    ));
    // The streams of HTTP/3 itself, which never end.
    let own_streams = connection.sending_streams();
    let mut stopped = stopping.cancelled();
    let mut draining = false;
    let mut requests = Requests::new(runtime.clone());
    let mut idle = runtime.sleep(limits.idle_time);
    loop {
        let event = {
            let mut accept = pin!(http.accept());
            poll_fn(|cx| {
                let now = polled_at(cx.waker()).unwrap_or_else(|| runtime.now());
                let busy = !requests.is_empty();
                requests.poll(cx, now);
                if requests.is_empty() {
                    if draining {
                        return Poll::Ready(Event::Over);
                    }
                    if busy {
                        idle.reset(runtime.now() + limits.idle_time);
                    }
                    if Pin::new(&mut idle).poll(cx).is_ready() {
                        return Poll::Ready(Event::Idle);
                    }
                }
                if requests.is_turn_over() {
                    return give_way(cx);
                }
                match accept.as_mut().poll(cx) {
                    Poll::Ready(Ok(Some(request))) => return Poll::Ready(Event::Request(Box::new(request))),
                    Poll::Ready(Ok(None)) => return Poll::Ready(Event::Over),
                    Poll::Ready(Err(error)) => return Poll::Ready(Event::Failed(error)),
                    Poll::Pending => {}
                }
                if !draining && Pin::new(&mut stopped).poll(cx).is_ready() {
                    return Poll::Ready(Event::Stop);
                }
                Poll::Pending
            })
            .await
        };
        match event {
            Event::Request(request) => {
                requests.push(Box::pin(respond(Arc::clone(&context), *request, accepted.is_early())));
            }
            Event::Stop => {
                draining = true;
                if http.shutdown(0).await.is_err() {
                    break;
                }
            }
            Event::Over => {
                poll_fn(|cx| {
                    requests.poll(cx, polled_at(cx.waker()).unwrap_or_else(|| runtime.now()));
                    match requests.is_empty() {
                        true => Poll::Ready(()),
                        false if requests.is_turn_over() => give_way(cx),
                        false => Poll::Pending,
                    }
                })
                .await;
                break;
            }
            Event::Failed(error) => {
                tracing::debug!(%peer, %error, "http/3 connection failed");
                break;
            }
            Event::Idle => {
                stripe.timed_out();
                let _ = http.shutdown(0).await;
                break;
            }
        }
    }
    requests.end().await;
    // What was answered is delivered before the connection is closed.
    let delivered = async {
        while connection.close_reason().is_none() && connection.sending_streams() > own_streams {
            runtime.sleep(connection.rtt().max(LEAST_PAUSE)).await;
        }
    };
    let _ = runtime.timeout(limits.write_time, delivered).await;
    connection.close(code(Code::H3_NO_ERROR), b"");
}

/// Between two looks at whether all was delivered.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// The longest frame other than DATA: a header section that is somewhat over its limit is still answered 431, one that is
/// far over it is not even taken.
fn frame_limit(limits: &Limits) -> u64 {
    u64::try_from(limits.header_bytes).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(1024)
}

/// Counts the connection's end, however it comes.
struct OnDrop<'a>(&'a Stripe);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

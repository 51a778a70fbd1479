//! The task of an HTTP/2 connection (RFC 9113): hyper's connection and all its streams, driven together.
//!
//! Streams are no tasks of their own: a response that is ready is written by the poll that made it, without a wake
//! across threads.
//!
//! | file | what is inside |
//! |---|---|
//! | `streams` | the streams of a connection, each with a limit on how long it may wait for the client |
//! | `respond` | from hyper's request to the handler's and back |
//! | `tunnel` | a stream that leaves HTTP: extended CONNECT, for WebSocket (RFC 8441) |
//! | `wire` | the socket, with what it has taken |
//! | `watch` | the time limits of the connection on one alarm |

mod respond;
mod streams;
mod tunnel;
mod watch;
mod wire;

use super::super::handler::Handler;
use super::super::info::ConnectionInfo;
use super::super::limits::Limits;
use super::super::metrics::Stripe;
use super::super::upgrade::Stream;
use super::Counted;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use respond::{Context, respond};
use shroud_hyper::{HyperIo, HyperTimer};
use shroud_runtime::task::{give_way, polled_at};
use shroud_runtime::{Runtime, RuntimeExt};
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use streams::{Spawner, Streams};
use watch::{Due, Watch};
use wire::{Wire, WireIo};

/// A closed connection is read for this long at most, so that its last frames are not lost.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// And for this many bytes.
const LINGER_BYTES: usize = 256 * 1024;

/// How a connection ended.
enum End {
    /// hyper is done with it, by agreement or after a failure.
    Finished(hyper::Result<()>),
    /// A time limit, or too many resets.
    Overdue(Due),
}

/// Serves one connection to its end.
pub(crate) async fn run<R: Runtime, H: Handler, S: Stream>(
    runtime: R,
    stream: S,
    info: Arc<ConnectionInfo>,
    counted: Counted<H>,
    stripe: Arc<Stripe>,
) {
    let limits = Arc::clone(&counted.service.limits);
    let peer = info.peer;
    let wire = Arc::new(Wire::new(stream, Arc::clone(&stripe)));
    let spawner = Spawner::new(runtime.clone(), limits.write_time);
    let service = Arc::clone(&counted.service);
    let shared = Arc::new(Context::new(runtime.clone(), service, info, Arc::clone(&stripe), spawner.clone()));
    let mut streams = Streams::new(&spawner);
    let context = Arc::clone(&shared);
    let service = service_fn(move |request| respond(Arc::clone(&context), request));
    let io = HyperIo::new(WireIo(Arc::clone(&wire)));
    let mut connection = builder(&runtime, &limits, spawner).serve_connection(io, service);
    let mut watch = Watch::new(runtime.alarm(), runtime.now());
    let stopping = runtime.stopping();
    let mut stopped = stopping.cancelled();
    let (mut listening, mut draining) = (false, false);

    let end = poll_fn(|cx| {
        // Polled once to be woken by it; the flag is enough from then on.
        if !listening {
            listening = true;
            let _ = Pin::new(&mut stopped).poll(cx);
        }
        if !draining && stopping.is_cancelled() {
            draining = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        let now = polled_at(cx.waker()).unwrap_or_else(|| runtime.now());
        shared.polled(now);
        if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(End::Finished(result));
        }
        // What streams have to say is written by the connection in the task's next turn, when other connections have
        // had theirs: written together, responses wake their clients less often.
        let went_on = streams.poll_all(cx, now);
        if streams.is_turn_over() {
            let _: Poll<()> = give_way(cx);
        } else if went_on {
            cx.waker().wake_by_ref();
        }
        if shared.is_reset_too_often() {
            return Poll::Ready(End::Overdue(Due::Resets));
        }
        loop {
            let (idle, progress) = (!went_on && streams.is_empty(), wire.progress());
            match watch.check(cx, now, &limits, idle, wire.has_preface(), progress) {
                Due::Nothing => return Poll::Pending,
                Due::Idle => {
                    Pin::new(&mut connection).graceful_shutdown();
                    if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                        return Poll::Ready(End::Finished(result));
                    }
                }
                due => return Poll::Ready(End::Overdue(due)),
            }
        }
    })
    .await;

    // Streams first: each resets itself, though nobody may read that.
    streams.end().await;
    drop(connection);
    let lingers = match &end {
        End::Finished(Ok(())) => true,
        End::Finished(Err(error)) => {
            tracing::debug!(%peer, %error, "http/2 connection failed");
            true
        }
        End::Overdue(due) => {
            tracing::debug!(%peer, ?due, "http/2 connection overdue");
            if *due != Due::Resets {
                stripe.timed_out();
            }
            false
        }
    };
    if lingers {
        let _ = runtime.timeout(LINGER_TIME.min(limits.write_time), wire.linger(LINGER_BYTES)).await;
    }
}

fn builder<R: Runtime>(runtime: &R, limits: &Limits, spawner: Spawner<R>) -> http2::Builder<Spawner<R>> {
    let http2 = &limits.http2;
    let mut builder = http2::Builder::new(spawner);
    builder
        .timer(HyperTimer::new(runtime.clone()))
        .auto_date_header(false)
        .max_concurrent_streams(http2.streams)
        .max_frame_size(http2.frame_bytes)
        .initial_stream_window_size(http2.stream_window)
        .initial_connection_window_size(http2.connection_window)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(http2.send_bytes)
        .max_pending_accept_reset_streams(http2.early_resets)
        .max_local_error_reset_streams(http2.stream_errors)
        .keep_alive_interval(http2.ping_interval)
        .keep_alive_timeout(http2.ping_time)
        // Extended CONNECT (RFC 8441): how WebSocket comes over HTTP/2.
        .enable_connect_protocol();
    builder
}

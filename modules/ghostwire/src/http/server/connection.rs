//! The task of one connection.

use super::super::handler::Handler;
use super::super::info::ConnectionInfo;
use super::super::limits::{DEFAULT_HEADERS, Limits, MIN_BUFFER};
use super::super::metrics::Stripe;
use super::super::upgrade::{Seam, Stream, Upgraded};
use super::Counted;
use super::activity::Activity;
use super::link::{Link, LinkIo};
use super::respond::{Context, respond};
use super::taken::Taken;
use super::watch::{Due, Watch};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use shroud_hyper::HyperIo;
use shroud_runtime::task::{poll_long, polled_at};
use shroud_runtime::{Runtime, RuntimeExt};
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

/// A closed connection is read for this long at most, so that its last response is not lost.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// And for this many bytes.
const LINGER_BYTES: usize = 256 * 1024;

const HEADER_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

const OVER_LIMIT: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// How a connection ended.
enum End {
    /// hyper is done with it, by agreement or after a failure.
    Finished(hyper::Result<()>),
    /// The socket failed.
    Failed(std::io::Error),
    /// A time limit.
    Overdue(Due),
}

/// Serves one connection to its end.
pub(crate) async fn run<R: Runtime, H: Handler, S: Stream>(
    runtime: R,
    stream: S,
    info: ConnectionInfo,
    counted: Counted<H>,
    stripe: Arc<Stripe>,
) {
    let limits = Arc::clone(&counted.service.limits);
    let started = runtime.now();
    let activity = Arc::new(Activity::new(info, Arc::clone(&stripe)));
    let link = Link::new(stream, Arc::clone(&activity));
    let context = Arc::new(Context {
        runtime: runtime.clone(),
        service: Arc::clone(&counted.service),
        activity: Arc::clone(&activity),
        takeover: Mutex::new(None),
    });
    let answering = Arc::clone(&context);
    let service = service_fn(move |request| respond(Arc::clone(&answering), request));
    let io = HyperIo::new(LinkIo(Arc::clone(&link)));
    let mut connection = builder(&limits).serve_connection(io, service);
    let mut watch = Watch::new(runtime.alarm(), started);
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
        loop {
            let polled = Pin::new(&mut connection).poll(cx);
            let progress = match link.send_now(cx) {
                Ok(progress) => progress,
                Err(error) => return Poll::Ready(End::Failed(error)),
            };
            if let Poll::Ready(result) = polled {
                return Poll::Ready(End::Finished(result));
            }
            match watch.check(cx, now, &limits, &activity, progress) {
                Due::Nothing => return Poll::Pending,
                Due::Body => stripe.timed_out(),
                due => return Poll::Ready(End::Overdue(due)),
            }
        }
    })
    .await;

    if let (End::Finished(Ok(())), Some(takeover)) = (&end, context.takeover()) {
        let read = connection.into_parts().read_buf;
        let upgraded = Upgraded { io: Box::new(Taken(link)), read, seam: Seam::of(&runtime) };
        drop((watch, stopped, stopping, context, activity));
        takeover(upgraded).await;
        drop(counted);
        return;
    }
    drop(connection);
    drop(watch);
    finish(&runtime, &link, &activity, end, &limits).await;
}

async fn finish<R: Runtime, S: Stream>(
    runtime: &R,
    link: &Arc<Link<S>>,
    activity: &Activity,
    end: End,
    limits: &Limits,
) {
    let lingers = match &end {
        End::Finished(result) => {
            if let Err(error) = result {
                tracing::debug!(peer = %activity.peer(), %error, "http connection failed");
            }
            // A client that has closed its side may still be reading slowly.
            !activity.has_input_ended() || link.has_unsent()
        }
        End::Failed(error) => {
            tracing::debug!(peer = %activity.peer(), %error, "http connection broke off");
            false
        }
        End::Overdue(due) => {
            tracing::debug!(peer = %activity.peer(), ?due, "http connection overdue");
            activity.stripe().timed_out();
            *due == Due::Header
        }
    };
    if !lingers {
        return;
    }
    let _ = runtime
        .timeout(LINGER_TIME.min(limits.write_time), async {
            if matches!(end, End::Overdue(Due::Header)) {
                link.send(HEADER_TIMEOUT).await?;
            }
            link.linger(LINGER_BYTES).await
        })
        .await;
}

/// Tells a connection over the limit to come back later.
pub(crate) async fn refuse<R: Runtime, H: Handler>(
    runtime: R,
    stream: R::Stream,
    peer: SocketAddr,
    counted: Counted<H>,
    stripe: Arc<Stripe>,
) {
    poll_fn(poll_long).await;
    let activity = Arc::new(Activity::new(peer, stripe));
    let link = Link::new(stream, activity);
    let _ = runtime
        .timeout(LINGER_TIME, async {
            link.send(OVER_LIMIT).await?;
            link.linger(LINGER_BYTES).await
        })
        .await;
    drop(counted);
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    #[cfg(feature = "planted-faults")]
    let half_close = !shroud_planted::is_planted(shroud_planted::Fault::DropOnHalfClose);
    #[cfg(not(feature = "planted-faults"))]
    let half_close = true;
    builder
        .half_close(half_close)
        // Time limits, the date and joined writes are the connection task's.
        .header_read_timeout(None)
        .auto_date_header(false)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(MIN_BUFFER).saturating_mul(4));
    if limits.headers != DEFAULT_HEADERS {
        builder.max_headers(limits.headers);
    }
    builder
}

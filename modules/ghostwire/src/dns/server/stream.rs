//! One connection over TCP or TLS: questions are read ahead, and answered as they are ready (RFC 7766, 6.2.1.1).

use super::super::handler::{Handler, QueryInfo, Transport};
use super::{Shared, respond};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use shroud_dns::frame::{Deframer, framed};
use shroud_dns::receive;
use shroud_dns::request::MAX_REQUEST;
use shroud_runtime::task::{LONG_POLL, give_way, polled_at};
use shroud_runtime::{Runtime, RuntimeExt};
use shroud_rustls::rustls::ServerConfig;
use shroud_rustls::{Failed, accept};
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Bytes to read at a time.
const READ: usize = 4096;

/// Bytes of answers that may wait before no more questions are read: one of the longest at least.
const MAX_WAITING: usize = 64 * 1024;

/// Questions that are read before answers that are ready are looked at.
const QUESTIONS: usize = 16;

/// How long to listen to a client whose handshake failed, so that it hears why.
const LINGER: Duration = Duration::from_millis(500);

/// What a connection waits for, each with a time limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// The client takes answers.
    Writing,
    /// The rest of a message.
    Reading,
    /// Handlers, which have a limit of their own.
    Working,
    /// The next question.
    Idle,
}

pub(super) async fn run_tls<R: Runtime, H: Handler>(
    runtime: &R,
    stream: R::Stream,
    peer: SocketAddr,
    tls: &Arc<ServerConfig>,
    shared: &Shared<H>,
) {
    let handshake = runtime.timeout(shared.limits.request_time, accept(stream, tls));
    match runtime.stopping().run_until(handshake).await {
        Some(Ok(Ok(stream))) => {
            let info = QueryInfo { peer: Some(peer), transport: Transport::Tls };
            run(runtime, stream, info, shared).await;
        }
        Some(Ok(Err(Failed { error, mut stream }))) => {
            tracing::debug!(%peer, %error, "TLS handshake for DNS failed");
            let mut sink = [0; 256];
            let discard = async {
                while !matches!(
                    poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut sink)).await,
                    Ok(0) | Err(_)
                ) {}
            };
            let _ = runtime.timeout(LINGER, discard).await;
        }
        Some(Err(_)) => shared.metrics.count_timed_out(),
        None => {}
    }
}

pub(super) async fn run<R: Runtime, H: Handler, S: AsyncRead + AsyncWrite + Unpin>(
    runtime: &R,
    mut stream: S,
    info: QueryInfo,
    shared: &Shared<H>,
) {
    let limits = &shared.limits;
    let stopping = runtime.stopping();
    let mut stopped = stopping.cancelled();
    let mut deframer = Deframer::new(MAX_REQUEST);
    let mut work = FuturesUnordered::new();
    let mut waiting = Vec::new();
    let (mut written, mut flushed) = (0, true);
    let mut reads = true;
    let mut waits = Waits::Idle;
    let mut alarm = runtime.sleep(limits.idle_time);
    let mut buffer = [0; READ];
    poll_fn(|cx| {
        let begun = polled_at(cx.waker()).unwrap_or_else(|| runtime.now());
        let mut moved = false;
        if reads && Pin::new(&mut stopped).poll(cx).is_ready() {
            reads = false;
        }
        loop {
            // Answers out.
            while written < waiting.len() {
                let rest = waiting.get(written..).unwrap_or_default();
                match Pin::new(&mut stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(count)) => (written, moved, flushed) = (written + count, true, false),
                    Poll::Pending => break,
                }
            }
            if written == waiting.len() {
                waiting.clear();
                written = 0;
                if !flushed {
                    match Pin::new(&mut stream).poll_flush(cx) {
                        Poll::Ready(Ok(())) => flushed = true,
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Pending => {}
                    }
                }
            }
            let mut again = false;
            // Answers that are ready.
            while waiting.len() - written < MAX_WAITING
                && let Poll::Ready(Some(answer)) = work.poll_next_unpin(cx)
            {
                let answer: Option<Vec<u8>> = answer;
                waiting.extend(answer.as_deref().and_then(framed).unwrap_or_default());
                again = true;
            }
            // Questions in.
            let room = |work: &FuturesUnordered<_>, waiting: &Vec<u8>, written: usize| {
                work.len() < limits.in_work && waiting.len() - written < MAX_WAITING
            };
            for _ in 0..QUESTIONS {
                if !room(&work, &waiting, written) {
                    break;
                }
                match deframer.poll_message() {
                    Ok(Some(message)) => {
                        work.push(respond(runtime, shared, receive(message), info));
                        (again, moved) = (true, true);
                    }
                    Ok(None) => break,
                    // Longer than any question: what follows it is not waited for.
                    Err(_) => return Poll::Ready(()),
                }
            }
            if again {
                if runtime.now().saturating_duration_since(begun) >= LONG_POLL {
                    let _: Poll<()> = give_way(cx);
                    break;
                }
                continue;
            }
            // How often in one turn, the budget of operations says.
            if !reads || !room(&work, &waiting, written) {
                break;
            }
            match Pin::new(&mut stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(0)) => reads = false,
                Poll::Ready(Ok(count)) => deframer.handle_bytes(buffer.get(..count).unwrap_or_default()),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        let now = if !waiting.is_empty() || !flushed {
            Waits::Writing
        } else if !work.is_empty() {
            Waits::Working
        } else if !reads {
            return Poll::Ready(());
        } else if deframer.is_inside() {
            Waits::Reading
        } else {
            Waits::Idle
        };
        if moved || now != waits {
            waits = now;
            let limit = match waits {
                Waits::Writing => limits.write_time,
                Waits::Reading => limits.request_time,
                Waits::Working => limits.answer_time.saturating_mul(2),
                Waits::Idle => limits.idle_time,
            };
            alarm.reset(runtime.now() + limit);
        }
        if Pin::new(&mut alarm).poll(cx).is_ready() {
            if waits != Waits::Idle {
                shared.metrics.count_timed_out();
            }
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
    drop(work);
    let _ = runtime.timeout(LINGER, poll_fn(|cx| Pin::new(&mut stream).poll_close(cx))).await;
}

//! Questions in datagrams.

use super::super::handler::{Handler, QueryInfo, Transport};
use super::fair::Fair;
use super::{MAX_FAILURES, ServeError, Shared, respond};
use crate::http::network::client;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use shroud_dns::receive;
use shroud_dns::request::MAX_REQUEST;
use shroud_runtime::net::{Datagram, MAX_BATCH, RecvMeta, Transmit};
use shroud_runtime::{Runtime, RuntimeExt};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Datagrams to take at a time where the kernel gives them one by one; each buffer shows whether one is too long.
const SINGLE: (usize, usize) = (MAX_BATCH, MAX_REQUEST + 1);

/// The same where it joins those of one sender.
const JOINED: (usize, usize) = (8, 64 * 1024);

/// Datagrams taken in one turn, and of those that wait, looked at: then others have their turn.
const TAKEN: usize = 256;
const ANSWERED: usize = MAX_BATCH;

/// Answers that wait for the kernel; no more questions are taken then.
const MAX_OUTBOX: usize = 1024;

/// A datagram that waits.
struct Question {
    bytes: Vec<u8>,
    meta: RecvMeta,
}

struct Answer {
    bytes: Vec<u8>,
    destination: SocketAddr,
    source: Option<IpAddr>,
}

pub(super) async fn run<R: Runtime, H: Handler>(
    runtime: R,
    socket: R::Socket,
    shared: Arc<Shared<H>>,
) -> Result<(), ServeError> {
    let (count, length) = if socket.capabilities().receive_segments > 1 { JOINED } else { SINGLE };
    let mut buffers = vec![vec![0; length]; count];
    let mut outbox = VecDeque::new();
    let mut work = FuturesUnordered::new();
    let mut waiting = Fair::new();
    let mut failures = 0_u32;
    let stopping = runtime.stopping();
    let mut stopped = stopping.cancelled();
    let mut open = true;
    let serve = poll_fn(|cx| {
        if open && Pin::new(&mut stopped).poll(cx).is_ready() {
            open = false;
        }
        while let Poll::Ready(Some(answer)) = work.poll_next_unpin(cx) {
            outbox.extend(answer);
        }
        send(&socket, cx, &mut outbox);
        if !open {
            let done = work.is_empty() && outbox.is_empty();
            return if done { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        if work.len() >= shared.limits.udp_in_work || outbox.len() >= MAX_OUTBOX {
            return Poll::Pending;
        }
        let mut left = TAKEN;
        let drained = loop {
            match take(&socket, cx, &mut buffers, |datagram, meta| {
                left = left.saturating_sub(1);
                // One byte more shows that it is too long. What finds no room is asked again, as if the kernel had had none.
                let bytes = datagram.get(..=MAX_REQUEST).unwrap_or(datagram).to_vec();
                let _ = waiting.push(client(meta.source.ip()), Question { bytes, meta });
            }) {
                Poll::Pending => break true,
                Poll::Ready(Ok(())) => {
                    // However little came.
                    left = left.saturating_sub(1);
                    failures = 0;
                }
                Poll::Ready(Err(error)) => {
                    failures += 1;
                    if failures > MAX_FAILURES {
                        return Poll::Ready(Err(ServeError::Socket(error)));
                    }
                    tracing::debug!(%error, "receiving a DNS question failed");
                    left = left.saturating_sub(1);
                }
            }
            if left == 0 {
                break false;
            }
        };
        let mut begun = false;
        for _ in 0..ANSWERED {
            let next = if work.len() < shared.limits.udp_in_work { waiting.pop() } else { None };
            let Some(Question { bytes, meta }) = next else { break };
            let info = QueryInfo { peer: Some(meta.source), transport: Transport::Udp };
            let (runtime, shared) = (&runtime, &*shared);
            let received = receive(&bytes);
            begun = true;
            work.push(async move {
                let bytes = respond(runtime, shared, received, info).await?;
                Some(Answer { bytes, destination: meta.source, source: meta.destination })
            });
        }
        if drained && !begun {
            return Poll::Pending;
        }
        // So much in a turn: others want the thread too.
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    let mut serve = std::pin::pin!(serve);
    // What is in work when the node stops has its time to end.
    let ended = poll_fn(|cx| match serve.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if stopping.is_cancelled() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match ended.await {
        Some(result) => result,
        None => runtime.timeout(shared.limits.drain_time, serve).await.unwrap_or(Ok(())),
    }
}

/// Takes one batch of datagrams.
fn take(
    socket: &impl Datagram,
    cx: &mut Context<'_>,
    buffers: &mut [Vec<u8>],
    mut each: impl FnMut(&[u8], RecvMeta),
) -> Poll<io::Result<()>> {
    let mut meta = [RecvMeta::empty(); MAX_BATCH];
    let polled = {
        let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        socket.poll_recv(cx, &mut slices, &mut meta)
    };
    let filled = std::task::ready!(polled)?;
    for (buffer, meta) in buffers.iter().zip(meta).take(filled) {
        // Port 0 cannot be answered.
        if meta.source.port() == 0 {
            continue;
        }
        let bytes = buffer.get(..meta.len).unwrap_or(buffer);
        bytes.chunks(meta.stride.max(1)).for_each(|datagram| each(datagram, meta));
    }
    Poll::Ready(Ok(()))
}

/// Sends what the kernel takes. What it refuses, for a destination that cannot be reached, is dropped.
fn send(socket: &impl Datagram, cx: &mut Context<'_>, outbox: &mut VecDeque<Answer>) {
    while !outbox.is_empty() {
        let transmits: Vec<_> = outbox
            .iter()
            .take(MAX_BATCH)
            .map(|answer| Transmit {
                destination: answer.destination,
                ecn: None,
                contents: &answer.bytes,
                segment_size: None,
                source: answer.source,
            })
            .collect();
        match socket.poll_send(cx, &transmits) {
            Poll::Ready(Ok(sent)) => drop(outbox.drain(..sent.clamp(1, outbox.len()))),
            Poll::Ready(Err(error)) => {
                tracing::trace!(%error, "sending a DNS answer failed");
                outbox.pop_front();
            }
            Poll::Pending => return,
        }
    }
}

//! Which protocol a new connection speaks.
//!
//! With TLS, its handshake says so (ALPN). In the clear, the first bytes do: an HTTP/2 client that knows this server
//! begins with a preface (RFC 9113, 3.4) that no HTTP/1.1 request begins with. Looking costs HTTP/1.1 nothing per
//! request: the bytes that were looked at are given to it as its first read.

use super::super::handler::Handler;
use super::super::info::ConnectionInfo;
use super::super::metrics::Stripe;
use super::{Counted, connection, http2, introduced};
use futures_io::{AsyncRead, AsyncWrite};
use shroud_runtime::net::{ByteStream as _, ReadUninit};
use shroud_runtime::{Runtime, RuntimeExt};
use shroud_rustls::{Failed, TlsStream, accept, alpn};
use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// What tells HTTP/2's preface from a request line of HTTP/1.1.
const PREFACE: &[u8] = b"PRI ";

/// The first read, on the stack: most requests fit.
const FIRST: usize = 1024;

/// After a failed handshake, how long to read what the client has sent already, so that the alert reaches it.
const LINGER_TIME: Duration = Duration::from_millis(500);

/// And how much.
const LINGER_BYTES: usize = 64 * 1024;

/// Serves one connection to its end.
pub(crate) async fn run<R: Runtime, H: Handler>(
    runtime: R,
    stream: R::Stream,
    peer: SocketAddr,
    counted: Counted<H>,
    stripe: Arc<Stripe>,
) {
    stripe.connection_opened();
    let _closed = OnDrop(Arc::clone(&stripe));
    let mut stream = stream;
    let mut ends = Ends { peer, local: stream.local_addr().ok() };
    if counted.service.balancers.is_some() {
        match Box::pin(introduce(&runtime, &mut stream, ends, &counted, &stripe)).await {
            Some(named) => ends = named,
            None => return,
        }
    }
    if counted.service.tls.is_some() {
        Box::pin(run_tls(runtime, stream, ends, counted, stripe)).await;
        return;
    }
    let mut stream = Front { stream, first: Vec::new(), read: 0 };
    match look(&runtime, &mut stream, &counted).await {
        Seen::Http1 => connection::run(runtime, stream, ends.in_clear(), counted, stripe).await,
        Seen::Http2 => {
            let info = Arc::new(ends.in_clear());
            Box::pin(http2::run(runtime, stream, info, counted, stripe)).await;
        }
        Seen::Nothing => {}
        Seen::NothingInTime => {
            tracing::debug!(%peer, "http connection overdue");
            stripe.timed_out();
        }
    }
}

/// Whom a connection joins.
#[derive(Debug, Clone, Copy)]
struct Ends {
    peer: SocketAddr,
    local: Option<SocketAddr>,
}

impl Ends {
    fn in_clear(self) -> ConnectionInfo {
        ConnectionInfo::from(self.peer).to(self.local)
    }
}

/// Reads what a balancer says about the connection; `None` when that is to be closed.
async fn introduce<R: Runtime, H: Handler>(
    runtime: &R,
    stream: &mut R::Stream,
    ends: Ends,
    counted: &Counted<H>,
    stripe: &Stripe,
) -> Option<Ends> {
    let from = counted.service.balancers.clone().unwrap_or_default();
    let reading =
        runtime.timeout(counted.service.limits.header_time, introduced::read(stream, ends.peer, &from));
    match runtime.stopping().run_until(reading).await? {
        Ok(Ok(Some(named))) => Some(Ends { peer: named.source(), local: Some(named.destination()) }),
        Ok(Ok(None)) => Some(ends),
        Ok(Err(error)) => {
            // A balancer that is not set up for it, or anybody at all.
            match error {
                introduced::Unintroduced::Header(_) => {
                    tracing::warn!(peer = %ends.peer, %error, "connection refused")
                }
                _ => tracing::debug!(peer = %ends.peer, %error, "connection refused"),
            }
            stripe.connection_refused();
            None
        }
        Err(_) => {
            tracing::debug!(peer = %ends.peer, "PROXY header overdue");
            stripe.timed_out();
            None
        }
    }
}

/// Counts the connection's end, however it comes.
struct OnDrop(Arc<Stripe>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

async fn run_tls<R: Runtime, H: Handler>(
    runtime: R,
    stream: R::Stream,
    ends: Ends,
    counted: Counted<H>,
    stripe: Arc<Stripe>,
) {
    let Ends { peer, local } = ends;
    let Some(config) = counted.service.tls.clone() else { return };
    let header_time = counted.service.limits.header_time;
    let stopping = runtime.stopping();
    let handshake = runtime.timeout(header_time, accept(stream, &config));
    let stream = match stopping.run_until(handshake).await {
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(Failed { error, stream }))) => {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            let _ = runtime.timeout(LINGER_TIME, discard(stream)).await;
            return;
        }
        Some(Err(_)) => {
            tracing::debug!(%peer, "TLS handshake overdue");
            stripe.timed_out();
            return;
        }
        None => return,
    };
    let handshake = stream.handshake();
    if handshake.protocol.as_deref() == Some(alpn::ACME_TLS_1) {
        // The handshake was all (RFC 8737, 3).
        tracing::debug!(%peer, name = ?handshake.server_name, "a challenge of ACME was answered");
        let _ = runtime.timeout(LINGER_TIME, shut(stream)).await;
        return;
    }
    let http2 = handshake.protocol.as_deref() == Some(alpn::H2);
    let info = ConnectionInfo::new(peer, Some(handshake)).to(local);
    if http2 {
        Box::pin(http2::run(runtime, stream, Arc::new(info), counted, stripe)).await;
    } else {
        Box::pin(connection::run::<R, H, TlsStream<R::Stream>>(runtime, stream, info, counted, stripe)).await;
    }
}

/// Says that nothing follows, and waits for the client to close too.
async fn shut<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    if poll_fn(|cx| Pin::new(&mut stream).poll_close(cx)).await.is_ok() {
        discard(stream).await;
    }
}

async fn discard<S: AsyncRead + Unpin>(mut stream: S) {
    let mut sink = [0; 1024];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut sink)).await {
            Ok(0) | Err(_) => return,
            Ok(count) => left = left.saturating_sub(count),
        }
    }
}

/// What a client begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Http1,
    Http2,
    /// It has gone, or the node is asked to stop.
    Nothing,
    NothingInTime,
}

/// Waits for the first bytes, for as long as a connection may idle, and looks at them.
async fn look<R: Runtime, H>(runtime: &R, stream: &mut Front<R::Stream>, counted: &Counted<H>) -> Seen {
    let limits = &counted.service.limits;
    let stopping = runtime.stopping();
    let mut stopped = stopping.cancelled();
    let mut overdue = None;
    poll_fn(|cx| {
        loop {
            match stream.poll_first(cx) {
                Poll::Ready(Ok(0) | Err(_)) if stream.first.is_empty() => return Poll::Ready(Seen::Nothing),
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Seen::Http1),
                Poll::Ready(Ok(_)) => {
                    let common = stream.first.len().min(PREFACE.len());
                    if stream.first.get(..common) != PREFACE.get(..common) {
                        return Poll::Ready(Seen::Http1);
                    }
                    if common == PREFACE.len() {
                        return Poll::Ready(Seen::Http2);
                    }
                    // The beginning of both.
                    overdue = Some(runtime.sleep(limits.header_time));
                }
                Poll::Pending => break,
            }
        }
        if Pin::new(&mut stopped).poll(cx).is_ready() {
            return Poll::Ready(Seen::Nothing);
        }
        let overdue = overdue.get_or_insert_with(|| runtime.sleep(limits.idle_time));
        let late = if stream.first.is_empty() { Seen::NothingInTime } else { Seen::Http1 };
        Pin::new(overdue).poll(cx).map(|()| late)
    })
    .await
}

/// A stream whose first bytes have been read already.
pub(crate) struct Front<S> {
    stream: S,
    first: Vec<u8>,
    read: usize,
}

impl<S: AsyncRead + Unpin> Front<S> {
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = [0; FIRST];
        let count = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.first.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Front<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, target);
        }
        let rest = self.first.get(self.read..).unwrap_or(&[]);
        let count = rest.len().min(target.len());
        target.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.read = self.read.saturating_add(count);
        if self.read >= self.first.len() {
            self.first = Vec::new();
        }
        Poll::Ready(Ok(count))
    }
}

impl<S: ReadUninit + Unpin> ReadUninit for Front<S> {
    fn poll_read_uninit<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &'a mut [MaybeUninit<u8>],
    ) -> Option<Poll<io::Result<&'a mut [u8]>>> {
        if self.first.is_empty() { Pin::new(&mut self.stream).poll_read_uninit(cx, buffer) } else { None }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Front<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

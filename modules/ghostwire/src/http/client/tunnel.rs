//! A stream of HTTP/2 that leaves HTTP: extended CONNECT (RFC 8441), on a connection of its own.

use super::super::body::Body;
use super::super::upgrade::Stream;
use super::multiplexed::{Driver, Multiplexed, Spawner};
use super::pool::Place;
use super::{CONNECTION_WINDOW, STREAM_WINDOW};
use futures_io::{AsyncRead, AsyncWrite};
use http::{Request, Response};
use hyper::client::conn::http2;
use hyper::rt::Timer as _;
use hyper::upgrade::Upgraded;
use shroud_hyper::{FuturesIo, HyperIo, HyperTimer};
use shroud_runtime::{Runtime, RuntimeExt};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// An open stream, whose user drives its connection.
pub(crate) struct Tunnel {
    io: FuturesIo<Upgraded>,
    driver: Arc<Driver>,
}

/// Begins HTTP/2 on `stream`, waits until the server announces extended CONNECT (which it does at once or never), and asks for
/// a tunnel by `request`: the answer, with the tunnel when it is 2xx, and a body when it is not. `None`: nothing was announced
/// within `patience`, and nothing was asked. It has no other time limit of its own, but `patience` for each piece of that body.
///
/// # Errors
/// When the connection fails.
pub(crate) async fn open<R: Runtime, S: Stream>(
    runtime: &R,
    stream: S,
    request: Request<Body>,
    header_bytes: u32,
    patience: Duration,
) -> Result<Option<(Response<Body>, Option<Tunnel>)>, hyper::Error> {
    let spawner = Spawner::default();
    let (sender, connection) = http2::Builder::new(spawner.clone())
        .timer(HyperTimer::new(runtime.clone()))
        .max_header_list_size(header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(HyperIo::new(stream))
        .await?;
    let connection = Arc::new(Mutex::new(connection));
    let driven = Arc::clone(&connection);
    let whole = poll_fn(move |cx| {
        let mut connection = driven.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *connection).poll(cx)
    });
    let mut shared = Multiplexed::new(runtime, sender, whole, spawner, Place::uncounted());
    let driver = shared.driver();
    let announced = poll_fn(|cx| {
        driver.drive(cx);
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        // When it has failed, asking says why.
        let ready = connection.is_extended_connect_protocol_enabled() || shared.is_closed();
        if ready { Poll::Ready(()) } else { Poll::Pending }
    });
    if runtime.timeout(patience, announced).await.is_err() {
        return Ok(None);
    }
    drop(connection);
    let answer = driven_by(&driver, shared.send(request)).await?;
    if !answer.status().is_success() {
        let timer = HyperTimer::new(runtime.clone());
        let answer = answer.map(|body| shared.body(body, move || timer.sleep(patience)));
        return Ok(Some((answer, None)));
    }
    let (head, body) = answer.into_parts();
    let mut answer = Response::from_parts(head, Body::empty());
    let upgrade = hyper::upgrade::on(&mut answer);
    let stream = driven_by(&driver, upgrade).await?;
    drop(body);
    Ok(Some((answer, Some(Tunnel { io: FuturesIo(stream), driver }))))
}

async fn driven_by<F: Future>(driver: &Driver, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| driver.drive_for(cx, |cx| work.as_mut().poll(cx))).await
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, driver } = &mut *self;
        driver.drive_for(cx, |cx| Pin::new(&mut *io).poll_read(cx, target))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { io, driver } = &mut *self;
        driver.drive_for(cx, |cx| Pin::new(&mut *io).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, driver } = &mut *self;
        driver.drive_for(cx, |cx| Pin::new(&mut *io).poll_write_vectored(cx, slices))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, driver } = &mut *self;
        driver.drive_for(cx, |cx| Pin::new(&mut *io).poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, driver } = &mut *self;
        driver.drive_for(cx, |cx| Pin::new(&mut *io).poll_close(cx))
    }
}

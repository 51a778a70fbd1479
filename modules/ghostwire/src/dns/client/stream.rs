//! A connection over TCP or TLS that questions share (RFC 7766, 6.2).

use super::{ClientError, Settings};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use shroud_dns::pipeline::{AskError, Pipeline};
use shroud_dns::{Mismatch, QueryOptions, Question, Reply};
use shroud_runtime::sync::{Mutex as AsyncMutex, channel, oneshot};
use shroud_runtime::{Class, ConnectOptions, Runtime, RuntimeExt};
use shroud_rustls::rustls::ClientConfig;
use shroud_rustls::{HandshakeError, connect};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Connections that a question is tried on, when they end before it is answered.
const TRIES: u32 = 3;

/// Bytes to read at a time.
const READ: usize = 4096;

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts the task that drives a client's connections, a child of the caller's.
pub(super) fn drivers<R: Runtime>(runtime: &R) -> channel::Sender<Driver> {
    let (drivers, arriving) = channel::unbounded::<Driver>();
    let drive = async move {
        let mut arriving = pin!(arriving);
        let mut driven = FuturesUnordered::new();
        poll_fn(|cx| {
            let mut open = true;
            while let Poll::Ready(next) = arriving.as_mut().poll_next_unpin(cx) {
                match next {
                    Some(driver) => driven.push(driver),
                    None => {
                        open = false;
                        break;
                    }
                }
            }
            while let Poll::Ready(Some(())) = driven.poll_next_unpin(cx) {}
            if open || !driven.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    };
    runtime.spawn_in(Class::Dns, "dns-client", drive).detach();
    drivers
}

struct Ask {
    question: Question,
    options: QueryOptions,
    answer: oneshot::Sender<Result<Reply, Refused>>,
}

enum Refused {
    Unencodable(String),
    Mismatch(Mismatch),
}

/// The way to one server: a connection that is opened when it is needed.
pub(super) struct Streams<R: Runtime> {
    runtime: R,
    server: SocketAddr,
    tls: Option<(Arc<ClientConfig>, String)>,
    times: Times,
    drivers: channel::Sender<Driver>,
    /// Held while a connection is being made, so that questions share one attempt.
    open: AsyncMutex<Option<channel::Sender<Ask>>>,
}

#[derive(Clone, Copy)]
struct Times {
    connect: Duration,
    answer: Duration,
    idle: Duration,
    pipeline: usize,
}

impl<R: Runtime> Streams<R> {
    pub(super) fn new(
        runtime: &R,
        server: SocketAddr,
        tls: Option<(Arc<ClientConfig>, String)>,
        settings: &Settings,
        drivers: &channel::Sender<Driver>,
    ) -> Self {
        let times = Times {
            connect: settings.connect_time,
            answer: settings.answer_time,
            idle: settings.idle_time,
            pipeline: settings.pipeline,
        };
        let (runtime, drivers) = (runtime.clone(), drivers.clone());
        Self { runtime, server, tls, times, drivers, open: AsyncMutex::new(None) }
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) async fn ask(&self, question: &Question, options: QueryOptions) -> Result<Reply, ClientError> {
        for _ in 0..TRIES {
            let connection = self.connection().await?;
            let (answer, answered) = oneshot::channel();
            let ask = Ask { question: question.clone(), options, answer };
            if connection.send(ask).await.is_err() {
                continue;
            }
            match answered.await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(Refused::Unencodable(reason))) => return Err(ClientError::Unencodable(reason)),
                Ok(Err(Refused::Mismatch(mismatch))) => return Err(ClientError::Mismatch(mismatch)),
                // The connection ended: another one may do (RFC 7766, 6.2.4).
                Err(_) => {}
            }
        }
        Err(ClientError::Closed)
    }

    async fn connection(&self) -> Result<channel::Sender<Ask>, ClientError> {
        let mut open = self.open.lock().await;
        if let Some(there) = open.as_ref().filter(|there| !there.is_closed()) {
            return Ok(there.clone());
        }
        *open = None;
        let (runtime, server, times) = (self.runtime.clone(), self.server, self.times);
        let timed_out = |_| ClientError::Connect { server, source: io::ErrorKind::TimedOut.into() };
        let (questions, arriving) = channel::bounded(times.pipeline.max(1));
        let options = ConnectOptions { timeout: Some(times.connect), ..ConnectOptions::default() };
        let attempt = runtime.timeout(times.connect, runtime.connect(server, options)).await;
        let stream = attempt.map_err(timed_out)?.map_err(|source| ClientError::Connect { server, source })?;
        let driver: Driver = match &self.tls {
            None => Box::pin(drive(runtime, stream, arriving, times)),
            Some((config, name)) => {
                let attempt = runtime.timeout(times.connect, connect(stream, config, name)).await;
                let failed = |source: HandshakeError| ClientError::Tls { server, source };
                let stream = attempt.map_err(timed_out)?.map_err(|failure| failed(failure.error))?;
                Box::pin(drive(runtime, stream, arriving, times))
            }
        };
        self.drivers.send(driver).await.map_err(|_| ClientError::Ended)?;
        *open = Some(questions.clone());
        Ok(questions)
    }
}

/// Drives one connection to its end. Questions that were not answered then learn it by their channel.
async fn drive<R: Runtime, S: AsyncRead + AsyncWrite + Unpin>(
    runtime: R,
    mut stream: S,
    arriving: channel::Receiver<Ask>,
    times: Times,
) {
    let mut pipeline = Pipeline::new(times.pipeline);
    let mut waiting = Vec::new();
    let (mut written, mut flushed) = (0, true);
    let mut alarm = runtime.sleep(times.idle);
    let mut was_idle = true;
    let mut buffer = [0; READ];
    let mut arriving = pin!(arriving);
    let mut open = true;
    poll_fn(|cx| {
        let mut moved = false;
        while open && !pipeline.is_full() {
            match arriving.as_mut().poll_next_unpin(cx) {
                Poll::Ready(Some(ask)) => {
                    // Nobody waits for it any more.
                    if ask.answer.is_canceled() {
                        continue;
                    }
                    let Ask { question, options, answer } = ask;
                    let mut chance = |out: &mut [u8]| runtime.fill(out);
                    let encoded = shroud_dns::Query::encode(&question, &options, 0, &mut chance);
                    if let Err(error) = encoded {
                        let _ = answer.send(Err(Refused::Unencodable(error.to_string())));
                        continue;
                    }
                    match pipeline.handle_question(&question, &options, answer, &mut chance) {
                        Ok(bytes) => waiting.extend_from_slice(&bytes),
                        Err(AskError::Full(_)) => break,
                        Err(_) => {}
                    }
                }
                Poll::Ready(None) => open = false,
                Poll::Pending => break,
            }
        }
        while written < waiting.len() {
            match Pin::new(&mut stream).poll_write(cx, waiting.get(written..).unwrap_or_default()) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(count)) => (written, flushed) = (written + count, false),
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
        // How often in one turn, the budget of operations says.
        while let Poll::Ready(read) = Pin::new(&mut stream).poll_read(cx, &mut buffer) {
            let Ok(count @ 1..) = read else { return Poll::Ready(()) };
            pipeline.handle_bytes(buffer.get(..count).unwrap_or_default());
            loop {
                match pipeline.poll_answer() {
                    Ok(Some((answer, outcome))) => {
                        moved = true;
                        let _ = answer.send(outcome.map_err(Refused::Mismatch));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "a DNS server misbehaves");
                        return Poll::Ready(());
                    }
                }
            }
        }
        if moved && open && !arriving.is_empty() {
            // There is room for more.
            cx.waker().wake_by_ref();
        }
        let idle = pipeline.is_empty();
        if idle && !open {
            return Poll::Ready(());
        }
        if moved || idle != was_idle {
            was_idle = idle;
            alarm.reset(runtime.now() + if idle { times.idle } else { times.answer });
        }
        Pin::new(&mut alarm).poll(cx)
    })
    .await;
    // Questions that came too late learn it too, and go over another connection.
    arriving.close();
    while arriving.try_recv().is_ok() {}
    drop(pipeline);
    let close = poll_fn(|cx| Pin::new(&mut stream).poll_close(cx));
    let _ = runtime.timeout(Duration::from_millis(200), close).await;
}

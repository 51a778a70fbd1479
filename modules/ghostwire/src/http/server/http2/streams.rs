//! The streams of a connection, inside its task.
//!
//! A stream may wait for its handler for as long as that takes, but only so long for a client that takes nothing of its
//! response (a window of zero, or one that is never opened again): then it is reset.

use super::super::turn::{Requests, Work};
use hyper::rt::{Executor, Sleep, Timer};
use pin_project_lite::pin_project;
use shroud_hyper::HyperTimer;
use shroud_runtime::Runtime;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

type Queue = Arc<Mutex<Vec<Work>>>;

/// Nothing happened in a poll.
const NOTHING: u8 = 0;
/// The handler has answered, or a piece of the body was taken.
const MOVED: u8 = 1;
/// The body has no next piece yet.
const WAITS: u8 = 2;

/// What the stream that is being polled tells about itself. All streams of a connection are polled by one task, one
/// after the other.
#[derive(Debug, Default)]
pub(super) struct Signals {
    last: AtomicU8,
}

impl Signals {
    pub(super) fn moved(&self) {
        self.last.store(MOVED, Relaxed);
    }

    pub(super) fn waits_for_body(&self) {
        self.last.store(WAITS, Relaxed);
    }
}

/// Takes hyper's streams over, for [`Streams`] to poll.
#[derive(Clone)]
pub(super) struct Spawner<R: Runtime> {
    runtime: R,
    write_time: Duration,
    signals: Arc<Signals>,
    queue: Queue,
}

impl<R: Runtime> Spawner<R> {
    pub(super) fn new(runtime: R, write_time: Duration) -> Self {
        Self { runtime, write_time, signals: Arc::default(), queue: Queue::default() }
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Runs what has time limits of its own, in the connection's task.
    pub(super) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(work));
    }
}

impl<R, F> Executor<F> for Spawner<R>
where
    R: Runtime,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let stream = Limited {
            future,
            runtime: self.runtime.clone(),
            write_time: self.write_time,
            signals: Arc::clone(&self.signals),
            overdue: None,
            sending: false,
        };
        self.run(stream);
    }
}

/// All streams of a connection.
pub(super) struct Streams<R> {
    queue: Queue,
    requests: Requests<R>,
}

impl<R: Runtime> Streams<R> {
    pub(super) fn new(spawner: &Spawner<R>) -> Self {
        Self { queue: Arc::clone(&spawner.queue), requests: Requests::new(spawner.runtime.clone()) }
    }

    /// Polls those that can go on, in the poll of the task that has begun at `now`. Says whether any has begun or ended.
    pub(super) fn poll_all(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for work in self.queue.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.requests.push(work);
        }
        self.requests.poll(cx, now)
    }

    /// As [`Requests::is_turn_over`].
    pub(super) fn is_turn_over(&self) -> bool {
        self.requests.is_turn_over()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Drops all of them, in turns.
    pub(super) async fn end(self) {
        self.requests.end().await;
    }
}

pin_project! {
    /// A stream that ends when its client takes nothing for too long.
    struct Limited<F, R> {
        #[pin]
        future: F,
        runtime: R,
        write_time: Duration,
        signals: Arc<Signals>,
        overdue: Option<Pin<Box<dyn Sleep>>>,
        sending: bool,
    }
}

impl<F: Future<Output = ()>, R: Runtime> Future for Limited<F, R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.signals.last.store(NOTHING, Relaxed);
        if this.future.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match this.signals.last.load(Relaxed) {
            MOVED => {
                *this.sending = true;
                let timer = HyperTimer::new(this.runtime.clone());
                let deadline = this.runtime.now() + *this.write_time;
                match this.overdue {
                    Some(sleep) => timer.reset(sleep, deadline),
                    None => *this.overdue = Some(timer.sleep_until(deadline)),
                }
            }
            WAITS => *this.sending = false,
            _ => {}
        }
        match this.overdue {
            // Dropping it resets the stream.
            Some(sleep) if *this.sending => {
                ready!(sleep.as_mut().poll(cx));
                tracing::debug!("http/2 stream overdue: nothing of its response is taken");
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}

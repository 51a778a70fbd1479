//! An HTTP/2 connection that many requests share.
//!
//! It has no task of its own: whoever waits for an answer drives it. While nobody waits it stands still, but for what is left to
//! do when somebody has let go of an exchange: that goes on in a task until it is done.

use super::super::body::{Body, BodyError};
use super::pool::Place;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::rt::{Executor, Sleep};
use shroud_runtime::Runtime;
use shroud_runtime::sync::AtomicWaker;
use shroud_runtime::task::is_spent;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

type Queue = Arc<Mutex<Vec<Work>>>;

/// Takes hyper's background work over, for [`Driver`] to poll.
#[derive(Clone, Default)]
pub(super) struct Spawner {
    queue: Queue,
    last: Last,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, future: F) {
        let work = Exchange { work: Box::pin(future), line: take(&self.last), last: Arc::clone(&self.last) };
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(work));
    }
}

/// Between the one who waits for an answer and the work that sends the request's body: when the former hangs up, the latter
/// ends, even while the server takes nothing of the body. hyper alone would hold the stream until it does.
#[derive(Default)]
struct Line {
    gone: AtomicBool,
    sender: AtomicWaker,
}

impl Line {
    fn hang_up(&self) {
        self.gone.store(true, Ordering::SeqCst);
        self.sender.wake();
    }

    /// Whether the other end has hung up; wakes when it does.
    fn is_gone(&self, cx: &Context<'_>) -> bool {
        self.sender.register(cx.waker());
        self.gone.load(Ordering::SeqCst)
    }
}

/// The line of the body that was polled last. Everything is polled by one at a time: whoever polled it learns that it is
/// theirs.
type Last = Arc<Mutex<Option<Arc<Line>>>>;

fn take(last: &Last) -> Option<Arc<Line>> {
    last.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// hyper's work for an exchange, which ends when nobody wants it any more. Its drop resets the stream.
struct Exchange {
    work: Work,
    line: Option<Arc<Line>>,
    last: Last,
}

impl Future for Exchange {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.line.as_ref().is_some_and(|line| line.is_gone(cx)) {
            return Poll::Ready(());
        }
        let polled = this.work.as_mut().poll(cx);
        let polled_body = take(&this.last);
        if this.line.is_none()
            && let Some(line) = polled_body
        {
            if line.is_gone(cx) {
                return Poll::Ready(());
            }
            this.line = Some(line);
        }
        polled
    }
}

/// The body of a request, which breaks off when nobody wants the answer.
struct Sent {
    body: Body,
    line: Arc<Line>,
    last: Last,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.line.gone.load(Ordering::SeqCst) {
            let cancel = h2::Error::from(h2::Reason::CANCEL);
            return Poll::Ready(Some(Err(BodyError::Stream(Box::new(cancel)))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // After the poll: another exchange may have been driven from within it.
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&self.line));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection to one server. Clones share it.
#[derive(Clone)]
pub(super) struct Multiplexed {
    sender: SendRequest<Body>,
    driver: Arc<Driver>,
}

pub(super) struct Driver {
    /// Kept as long as the connection is.
    _place: Place,
    machine: Mutex<Machine>,
    last: Last,
    waiting: Arc<Waiting>,
    /// Somebody wanted to drive while another did.
    again: AtomicBool,
    /// Drives on in a task of its own.
    finish: Box<dyn Fn(Arc<Self>) + Send + Sync>,
}

/// hyper's parts of the connection.
struct Machine {
    connection: Option<Work>,
    running: FuturesUnordered<Work>,
    queue: Queue,
    waker: Waker,
}

/// Who waits, and so is woken to drive. All of them are: one that was woken alone might look after something else.
#[derive(Default)]
struct Waiting {
    wakers: Mutex<Vec<Waker>>,
    /// Somebody was to be woken since this was asked last.
    woken: AtomicBool,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        let all = std::mem::take(&mut *self.lock());
        all.into_iter().for_each(Waker::wake);
    }
}

impl Driver {
    /// Drives the connection as far as it goes, for a task that will be woken when it can go on.
    pub(super) fn drive(&self, cx: &mut Context<'_>) {
        {
            let mut waiting = self.waiting.lock();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
        }
        self.drive_unasked();
    }

    /// The same for one who will not be woken.
    ///
    /// Whoever drives already does it for this one too: that may be further down on the same stack, when the body of a
    /// request reads the body of a response, or drops it.
    fn drive_unasked(&self) {
        loop {
            let Some(mut machine) = self.try_lock() else {
                self.again.store(true, Ordering::SeqCst);
                // It may have been let go before it could see that.
                if self.try_lock().is_none() {
                    return;
                }
                continue;
            };
            self.again.store(false, Ordering::SeqCst);
            machine.drive();
            drop(machine);
            if !self.again.load(Ordering::SeqCst) {
                return;
            }
            // With its turn over, a task that reads one stream to write another would want this for ever.
            if is_spent() {
                return self.waiting.wake_by_ref();
            }
        }
    }

    /// Drives for an exchange that was let go, so that the server learns of it. What one poll of a task may not do (its budget
    /// of operations is used up, say) is done in a task of its own: it may be that nobody waits for this connection again.
    fn let_go(self: &Arc<Self>) {
        self.waiting.woken.store(false, Ordering::SeqCst);
        self.drive_unasked();
        if self.waiting.woken.load(Ordering::SeqCst) {
            (self.finish)(Arc::clone(self));
        }
    }

    /// Drives until there is nothing to do but to wait for the server.
    async fn finish(self: Arc<Self>) {
        poll_fn(|cx| {
            self.waiting.woken.store(false, Ordering::SeqCst);
            self.drive(cx);
            if self.waiting.woken.load(Ordering::SeqCst) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Machine>> {
        match self.machine.try_lock() {
            Ok(machine) => Some(machine),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Polls `work`, and drives the connection for it and for what it has left to do.
    pub(super) fn drive_for<T>(
        &self,
        cx: &mut Context<'_>,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        for _ in 0..2 {
            let polled = work(cx);
            self.drive(cx);
            if polled.is_ready() {
                return polled;
            }
        }
        Poll::Pending
    }
}

impl Machine {
    fn drive(&mut self) -> bool {
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Some(connection) = &mut self.connection
                && connection.as_mut().poll(&mut cx).is_ready()
            {
                self.connection = None;
            }
            let new = std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner));
            let mut went_on = !new.is_empty();
            self.running.extend(new);
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(&mut cx) {
                went_on = true;
            }
            if !went_on {
                return self.connection.is_some() || !self.running.is_empty();
            }
        }
    }
}

impl Multiplexed {
    pub(super) fn new<R, C>(
        runtime: &R,
        sender: SendRequest<Body>,
        connection: C,
        spawner: Spawner,
        place: Place,
    ) -> Self
    where
        R: Runtime,
        C: Future<Output = hyper::Result<()>> + Send + 'static,
    {
        let runtime = runtime.clone();
        let connection = async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "http/2 connection failed");
            }
        };
        let waiting = Arc::new(Waiting::default());
        let machine = Machine {
            connection: Some(Box::pin(connection)),
            running: FuturesUnordered::new(),
            queue: spawner.queue,
            waker: Waker::from(Arc::clone(&waiting)),
        };
        Self {
            sender,
            driver: Arc::new(Driver {
                _place: place,
                machine: Mutex::new(machine),
                last: spawner.last,
                waiting,
                again: AtomicBool::new(false),
                finish: Box::new(move |driver| runtime.spawn("http2-finish", driver.finish()).detach()),
            }),
        }
    }

    pub(super) fn driver(&self) -> Arc<Driver> {
        Arc::clone(&self.driver)
    }

    /// Whether the connection has ended, as far as was seen.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// One exchange, which somebody else drives.
    pub(super) fn send(
        &mut self,
        request: Request<Body>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.sender.send_request(request)
    }

    /// Whether this is the same connection.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.driver, &other.driver)
    }

    /// Whether any exchange goes on.
    pub(super) fn is_used(&self) -> bool {
        // Each has a clone.
        Arc::strong_count(&self.driver) > 1
    }

    /// Sees what came in meanwhile; whether further requests may be sent.
    pub(super) fn is_open(&self) -> bool {
        let running = self.driver.machine.lock().unwrap_or_else(PoisonError::into_inner).drive();
        running && !self.sender.is_closed()
    }

    /// The body of an answer to [`Multiplexed::send`]. `timer` limits each wait for a piece of it.
    pub(super) fn body(
        &self,
        incoming: Incoming,
        timer: impl Fn() -> Pin<Box<dyn Sleep>> + Send + Sync + 'static,
    ) -> Body {
        let (driver, line) = (self.driver(), Arc::default());
        Body::stream(Shared { incoming: Some(incoming), line, driver, timer: Box::new(timer), overdue: None })
    }

    /// One exchange; gives the request back when it was not sent. `sleep` limits each wait for a piece of the body.
    pub(super) async fn ask(
        &mut self,
        request: Request<Body>,
        timer: impl Fn() -> Pin<Box<dyn Sleep>> + Send + Sync + 'static,
    ) -> Result<Result<Response<Body>, hyper::Error>, Box<Request<Body>>> {
        let driver = Arc::clone(&self.driver);
        // Declared before the exchange, and so dropped after it.
        let line = Arc::new(Line::default());
        let mut given_up = GivenUp { driver: Some(&driver), line: &line };
        let request = request.map(|body| {
            if http_body::Body::is_end_stream(&body) {
                return body;
            }
            Body::stream(Sent { body, line: Arc::clone(&line), last: Arc::clone(&driver.last) })
        });
        let mut answer = pin!(self.sender.try_send_request(request));
        let answer = poll_fn(|cx| {
            for _ in 0..2 {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(answer);
                }
                driver.drive(cx);
            }
            Poll::Pending
        })
        .await;
        given_up.driver = None;
        match answer {
            Ok(response) => Ok(Ok(response.map(|incoming| {
                let (driver, line) = (Arc::clone(&driver), Arc::clone(&line));
                let incoming = Some(incoming);
                Body::stream(Shared { incoming, line, driver, timer: Box::new(timer), overdue: None })
            }))),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Err(Box::new(unsent)),
                None => Ok(Err(error.into_error())),
            },
        }
    }
}

/// An exchange that is dropped before its answer: the server is told, since nobody may wait for the connection then.
struct GivenUp<'a> {
    /// None once there is an answer.
    driver: Option<&'a Arc<Driver>>,
    line: &'a Line,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if let Some(driver) = self.driver {
            self.line.hang_up();
            driver.let_go();
        }
    }
}

type Timer = Box<dyn Fn() -> Pin<Box<dyn Sleep>> + Send + Sync>;

/// A response's body, whose reader drives the connection.
struct Shared {
    /// There until the drop.
    incoming: Option<Incoming>,
    line: Arc<Line>,
    driver: Arc<Driver>,
    timer: Timer,
    overdue: Option<Pin<Box<dyn Sleep>>>,
}

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        for _ in 0..2 {
            if let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) {
                this.overdue = None;
                // The window that was taken is given back.
                this.driver.drive(cx);
                return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
            }
            this.driver.drive(cx);
        }
        let overdue = this.overdue.get_or_insert_with(&this.timer);
        overdue.as_mut().poll(cx).map(|()| Some(Err(BodyError::TimedOut)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}

impl Drop for Shared {
    /// Breaks off what was not read to its end, and tells the server so.
    fn drop(&mut self) {
        let ended = http_body::Body::is_end_stream(self);
        self.incoming = None;
        self.line.hang_up();
        if !ended {
            self.driver.let_go();
        }
    }
}

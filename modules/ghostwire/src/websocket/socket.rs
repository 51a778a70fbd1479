//! A socket: the machine, its transport and its alarm.

use super::metrics::{Metrics, OpenGuard};
use super::split::{self, Receiver, Sender};
use crate::http::upgrade::{Seam, Transport, Upgraded};
use crate::in_turn::InTurn;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_io::{AsyncRead as _, AsyncWrite as _};
use shroud_runtime::task::{give_way, polled_at};
use shroud_websocket::{CloseCode, CloseFrame, Connection, End, Event, Message, SendError};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

/// Bytes that a read asks for at first, and at most; twice as many after each that was filled.
const READ: usize = 4 * 1024;
const MOST_READ: usize = 64 * 1024;

/// Pieces that one write hands over.
const SLICES: usize = 16;

/// How long a closed connection may take to flush and to hear the peer's end.
const FINISH_TIME: Duration = Duration::from_secs(1);

/// What a closed connection still reads while it waits for that.
const FINISH_BYTES: usize = 256 * 1024;

/// The connection is closed, so that nothing can be sent or received any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(.0))]
pub struct Closed(pub End);

fn describe(end: &End) -> String {
    match end {
        End::Closed(Some(frame)) if frame.reason.as_bytes().is_empty() => {
            format!("the connection was closed with code {}", frame.code)
        }
        End::Closed(Some(frame)) => {
            format!("the connection was closed with code {}: {}", frame.code, frame.reason)
        }
        End::Closed(None) => "the connection was closed without a code".into(),
        End::Lost => "the connection broke off without a close frame".into(),
        End::CloseTimedOut => "the peer did not answer the close frame in time".into(),
        End::Failed(error) => format!("the connection failed: {error}"),
    }
}

/// A WebSocket connection.
///
/// It makes progress only while one of its futures is polled: whoever sends much should receive too, by
/// [`WebSocket::split`] if need be. Stopping the node closes it with code 1001; [`WebSocket::receive`] then ends.
pub struct WebSocket {
    /// Always there until dropped.
    core: Option<Box<Core>>,
    home: Home,
}

/// Where a server's connection goes when its socket is dropped, to be closed in order.
pub(super) type Home = Arc<Mutex<Option<Box<Core>>>>;

pub(super) struct Core {
    io: Box<dyn Transport>,
    machine: Connection,
    /// Received and not taken yet.
    input: BytesMut,
    read: usize,
    /// Taken from the machine and not written yet.
    unsent: VecDeque<Bytes>,
    unflushed: bool,
    seam: Seam,
    stopped: Option<Box<dyn Future<Output = ()> + Send + Unpin>>,
    armed: Option<Instant>,
    /// Of a compressed message.
    in_turn: InTurn,
    phase: Phase,
    end: Option<End>,
    metrics: Option<Metrics>,
    _open: Option<OpenGuard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The machine is done; what it left is being written until then.
    Finishing(Instant),
    Finished,
}

impl WebSocket {
    pub(super) fn new(machine: Connection, upgraded: Upgraded, metrics: Option<Metrics>) -> Self {
        let Upgraded { io, read, seam } = upgraded;
        let core = Core {
            io,
            machine,
            input: BytesMut::from(read),
            read: READ,
            unsent: VecDeque::new(),
            unflushed: false,
            stopped: Some(Box::new(seam.stopping.cancelled())),
            seam,
            armed: None,
            in_turn: InTurn::default(),
            phase: Phase::Open,
            end: None,
            _open: metrics.as_ref().map(Metrics::open),
            metrics,
        };
        Self { core: Some(Box::new(core)), home: Home::default() }
    }

    pub(super) fn home(&self) -> Home {
        Arc::clone(&self.home)
    }

    /// Waits for the next message; `None` once the peer has closed the connection in order.
    ///
    /// Cancel safety: cancel safe, nothing is lost.
    ///
    /// # Errors
    /// [`Closed`] when it ended in any other way.
    pub async fn receive(&mut self) -> Result<Option<Message>, Closed> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// As [`WebSocket::receive`], for hand-written futures.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Closed>> {
        match &mut self.core {
            Some(core) => core.poll_receive(cx),
            None => Poll::Ready(Err(Closed(End::Lost))),
        }
    }

    /// Waits until there is room in the queue, queues the message and begins to write it. What the peer does not take at
    /// once goes out while this socket is used further.
    ///
    /// Cancel safety: when dropped, the message was not queued.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Closed> {
        self.queue(message.into(), true).await
    }

    /// As [`WebSocket::send`], but leaves the writing to the next [`WebSocket::receive`] that has to wait, or to
    /// [`WebSocket::flush`]: answers to messages that arrived together go out together.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn feed(&mut self, message: impl Into<Message>) -> Result<(), Closed> {
        self.queue(message.into(), false).await
    }

    async fn queue(&mut self, message: Message, write: bool) -> Result<(), Closed> {
        let mut message = Some(message);
        poll_fn(|cx| match &mut self.core {
            Some(core) => core.poll_queue(cx, &mut message, write),
            None => Poll::Ready(Err(Closed(End::Lost))),
        })
        .await
    }

    /// Waits until all that was queued is written. Cancel safe.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn flush(&mut self) -> Result<(), Closed> {
        poll_fn(|cx| match &mut self.core {
            Some(core) => core.poll_flush(cx),
            None => Poll::Ready(Err(Closed(End::Lost))),
        })
        .await
    }

    /// Whether another message may be queued without waiting.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.core.as_ref().is_some_and(|core| core.has_room())
    }

    /// Writes what is queued and keeps the time limits, without receiving: for a server that can take no message for the
    /// moment. Ready with true when there is room again, with false when the connection is closed.
    pub fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.core {
            Some(core) => core.poll_drive(cx),
            None => Poll::Ready(false),
        }
    }

    /// Hands the reaction to the node's stop over to the caller: the future is ready when the node stops, and the socket
    /// does not close by itself. `None` when it was handed over before, or has happened.
    pub fn stopping(&mut self) -> Option<impl Future<Output = ()> + Send + Unpin + use<>> {
        self.core.as_mut().and_then(|core| core.stopped.take())
    }

    /// Closes the connection in order: sends a close frame after what is queued, waits for the peer's, at most
    /// [`shroud_websocket::Settings::close_time`], and says how it ended. Messages that arrive meanwhile are lost.
    ///
    /// Cancel safety: the close frame is queued; call [`WebSocket::receive`] until it ends.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> End {
        if let Some(core) = &mut self.core {
            core.close(code, reason);
        }
        loop {
            match self.receive().await {
                Ok(Some(_)) => {}
                Ok(None) => return self.end().cloned().unwrap_or(End::Lost),
                Err(Closed(end)) => return end,
            }
        }
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.core.as_ref().and_then(|core| core.end.as_ref())
    }

    /// Two halves for two tasks of the same shard. The receiving half drives the connection: it must be used for the
    /// sending half to get anywhere.
    #[must_use]
    pub fn split(mut self) -> (Sender, Receiver) {
        split::split(self.core.take(), Arc::clone(&self.home))
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        give_back(&self.home, self.core.take());
    }
}

pub(super) fn give_back(home: &Home, core: Option<Box<Core>>) {
    // A client has nobody at home: the connection is dropped with the last reference.
    if let Some(core) = core.filter(|_| Arc::strong_count(home) > 1) {
        *home.lock().unwrap_or_else(PoisonError::into_inner) = Some(core);
    }
}

/// Ends a server's connection after its function has returned: closes it if it is open, lets the last bytes through.
pub(super) async fn finish(home: Home) {
    let core = home.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut core) = core else { return };
    let stopping = core.seam.stopping.is_cancelled();
    core.close(if stopping { CloseCode::GOING_AWAY } else { CloseCode::NORMAL }, "");
    while let Ok(Some(_)) = poll_fn(|cx| core.poll_receive(cx)).await {}
    core.linger().await;
}

impl Core {
    pub(super) fn now(&self) -> Instant {
        (self.seam.now)()
    }

    /// When the present poll began: near enough where nothing is timed by it.
    fn poll_time(&self, cx: &Context<'_>) -> Instant {
        polled_at(cx.waker()).unwrap_or_else(|| self.now())
    }

    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        let now = self.now();
        // Closed or closing already: then it only has to go on.
        let _ = self.machine.handle_close(now, Some(&CloseFrame::new(code, reason)));
    }

    pub(super) fn has_room(&self) -> bool {
        self.machine.has_room()
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_over(&self) -> bool {
        !self.machine.is_open()
    }

    pub(super) fn closed(&self) -> Closed {
        Closed(self.end.clone().unwrap_or(End::Lost))
    }

    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Closed>> {
        loop {
            if self.phase != Phase::Open {
                ready!(self.poll_finish(cx));
                return Poll::Ready(match &self.end {
                    Some(End::Closed(_)) => Ok(None),
                    _ => Err(self.closed()),
                });
            }
            if self.machine.is_busy() && !self.in_turn.enter() {
                return give_way(cx);
            }
            let now = self.poll_time(cx);
            let event = self.machine.poll_event(now, &mut self.input);
            if !self.machine.is_busy() {
                self.in_turn.leave();
            }
            match event {
                Some(Event::Message(message)) => return Poll::Ready(Ok(Some(message))),
                Some(Event::Closed(end)) => self.ended(now, end),
                Some(_) => {}
                None if self.machine.is_busy() => {
                    let _ = self.poll_write(cx, now);
                    return give_way(cx);
                }
                None => ready!(self.poll_progress(cx, now)),
            }
        }
    }

    fn ended(&mut self, now: Instant, end: End) {
        if let (End::Failed(error), Some(metrics)) = (&end, &self.metrics) {
            tracing::debug!(%error, "websocket connection failed");
            metrics.failed();
        }
        self.end = Some(end);
        self.phase = Phase::Finishing(now + FINISH_TIME);
    }

    /// All that has arrived is taken: writes what waits, then reads; ready when there is something new to look at.
    fn poll_progress(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let _ = self.poll_write(cx, now);
        if self.machine.is_closed() {
            return Poll::Ready(());
        }
        if self.is_told_to_stop(cx) {
            let _ = self
                .machine
                .handle_close(now, Some(&CloseFrame::new(CloseCode::GOING_AWAY, "the node stops")));
            return Poll::Ready(());
        }
        if self.poll_read(cx).is_ready() {
            return Poll::Ready(());
        }
        ready!(self.poll_alarm(cx, now, self.machine.deadline()));
        let now = self.now();
        self.machine.handle_timeout(now);
        Poll::Ready(())
    }

    /// Ready when something was read, or the transport has ended.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.input.len();
        self.input.resize(before.saturating_add(self.read), 0);
        let target = self.input.get_mut(before..).unwrap_or_default();
        let polled = Pin::new(&mut self.io).poll_read(cx, target);
        let count = match &polled {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        self.input.truncate(before.saturating_add(count));
        match polled {
            Poll::Pending => {
                if self.input.is_empty() {
                    // An idle connection keeps no buffer.
                    self.input = BytesMut::new();
                    self.read = READ;
                }
                return Poll::Pending;
            }
            Poll::Ready(Ok(0) | Err(_)) => self.machine.handle_end(),
            Poll::Ready(Ok(_)) if count == self.read => self.read = (self.read * 2).min(MOST_READ),
            Poll::Ready(Ok(_)) => {}
        }
        Poll::Ready(())
    }

    /// Writes what can be written. Pending when the transport takes no more for now.
    fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        loop {
            while self.unsent.len() < SLICES
                && let Some(piece) = self.machine.poll_transmit(now)
            {
                self.unsent.push_back(piece);
            }
            if self.unsent.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            for (slice, piece) in slices.iter_mut().zip(&self.unsent) {
                *slice = IoSlice::new(piece);
            }
            let used = slices.get(..self.unsent.len().min(SLICES)).unwrap_or_default();
            match ready!(Pin::new(&mut self.io).poll_write_vectored(cx, used)) {
                Ok(count) if count > 0 => self.written(now, count),
                _ => {
                    self.unsent.clear();
                    self.machine.handle_end();
                    return Poll::Ready(());
                }
            }
        }
        if self.unflushed {
            match ready!(Pin::new(&mut self.io).poll_flush(cx)) {
                Ok(()) => self.unflushed = false,
                Err(_) => self.machine.handle_end(),
            }
        }
        Poll::Ready(())
    }

    fn written(&mut self, now: Instant, count: usize) {
        self.unflushed = true;
        self.machine.handle_transmitted(now, count);
        let mut left = count;
        while left > 0
            && let Some(piece) = self.unsent.front_mut()
        {
            let taken = left.min(piece.len());
            piece.advance(taken);
            left -= taken;
            if piece.is_empty() {
                self.unsent.pop_front();
            }
        }
        if self.unsent.is_empty() {
            self.unsent.shrink_to(1);
        }
    }

    fn is_told_to_stop(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(stopped) = &mut self.stopped else { return false };
        let told = Pin::new(stopped).poll(cx).is_ready();
        if told {
            self.stopped = None;
        }
        told
    }

    /// Ready at `deadline`. The alarm is not moved when deadlines recede, as they do with every message: it fires early
    /// then and is armed again.
    fn poll_alarm(&mut self, cx: &mut Context<'_>, now: Instant, deadline: Option<Instant>) -> Poll<()> {
        let mut now = now;
        loop {
            let Some(deadline) = deadline else { return Poll::Pending };
            if now >= deadline {
                self.armed = None;
                return Poll::Ready(());
            }
            if self.armed.is_none_or(|at| at > deadline) {
                self.seam.alarm.set(Some(deadline));
                self.armed = Some(deadline);
            }
            ready!(self.seam.alarm.poll_fired(cx));
            self.armed = None;
            now = self.now();
        }
    }

    pub(super) fn poll_queue(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        write: bool,
    ) -> Poll<Result<(), Closed>> {
        let now = self.poll_time(cx);
        if !self.machine.has_room() {
            ready!(self.poll_room(cx, now));
        }
        let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
        match self.machine.handle_send(now, next) {
            Ok(()) => {}
            Err(SendError::Full { .. }) => return Poll::Pending,
            Err(_) => return Poll::Ready(Err(self.closed())),
        }
        if write {
            let _ = self.poll_write(cx, now);
        }
        Poll::Ready(Ok(()))
    }

    /// Queues and writes as if the receiver did, which goes on with what the transport does not take.
    pub(super) fn poll_send_for(
        &mut self,
        receiver: &Waker,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), Closed>> {
        let polled = self.poll_queue(&mut Context::from_waker(receiver), message, true);
        if self.machine.queued() > 0 {
            // It has a time limit to keep, too.
            receiver.wake_by_ref();
        }
        polled
    }

    /// Ready when the queue has room again, or nothing can be queued any more.
    fn poll_room(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        loop {
            let written = self.poll_write(cx, now);
            if self.machine.has_room() || self.machine.is_closed() || written.is_ready() {
                return Poll::Ready(());
            }
            ready!(self.poll_alarm(cx, now, self.machine.deadline()));
            let now = self.now();
            self.machine.handle_timeout(now);
        }
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let had_room = self.machine.has_room();
        loop {
            let now = self.now();
            let _ = self.poll_write(cx, now);
            if self.machine.is_closed() {
                return Poll::Ready(false);
            }
            if !had_room && self.machine.has_room() {
                return Poll::Ready(true);
            }
            ready!(self.poll_alarm(cx, now, self.machine.deadline()));
            let now = self.now();
            self.machine.handle_timeout(now);
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        loop {
            let now = self.now();
            if self.poll_write(cx, now).is_ready() {
                let lost = self.machine.is_closed() && self.machine.queued() > 0;
                return Poll::Ready(if lost { Err(self.closed()) } else { Ok(()) });
            }
            if self.machine.is_closed() {
                return Poll::Ready(Err(self.closed()));
            }
            ready!(self.poll_alarm(cx, now, self.machine.deadline()));
            let now = self.now();
            self.machine.handle_timeout(now);
        }
    }

    /// Writes the last bytes and closes the write side, within the time that it may take.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Finishing(until) = self.phase else { return Poll::Ready(()) };
        let now = self.now();
        if self.poll_write(cx, now).is_pending() || Pin::new(&mut self.io).poll_close(cx).is_pending() {
            ready!(self.poll_alarm(cx, now, Some(until)));
        }
        self.phase = Phase::Finished;
        self.input = BytesMut::new();
        Poll::Ready(())
    }

    /// Waits for the peer's end: a socket that is dropped with unread input resets the connection, and the last frame
    /// would be lost on its way.
    async fn linger(&mut self) {
        if matches!(self.end, Some(End::Lost)) {
            return;
        }
        let until = self.now() + FINISH_TIME;
        let mut left = FINISH_BYTES;
        let mut sink = [0; 1024];
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut self.io).poll_read(cx, &mut sink) {
                    Poll::Ready(Ok(count)) if count > 0 && count < left => left -= count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.poll_alarm(cx, self.now(), Some(until)),
                }
            }
        })
        .await;
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("end", &self.end()).finish_non_exhaustive()
    }
}

//! A socket's two halves.
//!
//! The receiving half is the one that waits for the transport. A sender queues its message and writes as much of it as
//! goes at once, on the receiver's behalf: when the transport takes no more, the receiver is woken to go on.

use super::socket::{Closed, Core, Home, give_back};
use shroud_websocket::{CloseCode, End, Message};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

struct Shared {
    inner: Mutex<Inner>,
}

struct Inner {
    /// Until the receiver is dropped.
    core: Option<Box<Core>>,
    receiver: Waker,
    /// Senders that wait for room.
    waiting: Vec<Waker>,
}

/// The sending half. Clones send over the same connection. Same shard as the [`Receiver`].
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

/// The receiving half, which drives the connection.
pub struct Receiver {
    shared: Arc<Shared>,
    home: Home,
}

pub(super) fn split(core: Option<Box<Core>>, home: Home) -> (Sender, Receiver) {
    let inner = Inner { core, receiver: Waker::noop().clone(), waiting: Vec::new() };
    let shared = Arc::new(Shared { inner: Mutex::new(inner) });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared, home })
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake_senders(&mut self, all: bool) {
        if all || self.core.as_ref().is_none_or(|core| core.has_room()) {
            self.waiting.drain(..).for_each(Waker::wake);
        }
    }
}

impl Sender {
    /// As [`super::WebSocket::send`].
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Closed> {
        let mut message = Some(message.into());
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            let receiver = inner.receiver.clone();
            let Some(core) = &mut inner.core else { return Poll::Ready(Err(Closed(End::Lost))) };
            if core.has_room() || core.is_over() {
                return core.poll_send_for(&receiver, &mut message);
            }
            inner.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Queues the message if there is room now. `Ok(false)`: there is none, and nothing was queued.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn try_send(&self, message: impl Into<Message>) -> Result<bool, Closed> {
        let mut inner = self.shared.lock();
        let receiver = inner.receiver.clone();
        let Some(core) = &mut inner.core else { return Err(Closed(End::Lost)) };
        if !core.has_room() && !core.is_over() {
            return Ok(false);
        }
        let mut message = Some(message.into());
        match core.poll_send_for(&receiver, &mut message) {
            Poll::Ready(result) => result.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Begins to close; the receiver's [`Receiver::receive`] ends when it is done.
    pub fn close(&self, code: CloseCode, reason: &str) {
        let mut inner = self.shared.lock();
        if let Some(core) = &mut inner.core {
            core.close(code, reason);
        }
        inner.receiver.wake_by_ref();
    }
}

impl Receiver {
    /// As [`super::WebSocket::receive`]; also carries on what the senders have queued.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn receive(&mut self) -> Result<Option<Message>, Closed> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// As [`Receiver::receive`], for hand-written futures.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Closed>> {
        let mut inner = self.shared.lock();
        inner.receiver.clone_from(cx.waker());
        let Some(core) = &mut inner.core else { return Poll::Ready(Err(Closed(End::Lost))) };
        let polled = core.poll_receive(cx);
        let over = core.is_over();
        inner.wake_senders(over);
        polled
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        let core = inner.core.take();
        inner.wake_senders(true);
        drop(inner);
        give_back(&self.home, core);
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

//! Work in batches, by size or time, whichever comes first.

use crate::runtime::{Runtime, RuntimeExt};
use crate::sync::channel::{self, TrySendError};
use crate::time::Sleep;
use futures_util::future::{Either, select};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::time::Duration;

/// When a batch is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// Items in a batch at most.
    pub size: NonZeroUsize,
    /// How long the first item of a batch waits for company; zero takes what is there.
    pub linger: Duration,
    /// Items that may wait outside the batch that is being collected: when so many do, pushing waits.
    pub queue: NonZeroUsize,
}

impl Default for BatchOptions {
    fn default() -> Self {
        let size = NonZeroUsize::MIN.saturating_add(255);
        Self { size, linger: Duration::from_millis(1), queue: size }
    }
}

/// The receiver is gone; the item comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the batcher's receiver is gone")]
pub struct PushError<T>(pub T);

/// The item was not taken; it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryPushError<T> {
    /// The queue is full.
    #[error("the batcher's queue is full")]
    Full(T),
    /// The receiver is gone.
    #[error("the batcher's receiver is gone")]
    Closed(T),
}

/// Many push items, one takes batches.
#[must_use]
pub fn batcher<R: Runtime, T: Send>(runtime: R, options: BatchOptions) -> (Pusher<T>, Batches<R, T>) {
    let (sender, receiver) = channel::bounded(options.queue.get());
    (Pusher { sender }, Batches { runtime, options, receiver, batch: Vec::new(), due: None })
}

/// Puts items into batches. Clones push into the same ones.
#[derive(Debug)]
pub struct Pusher<T> {
    sender: channel::Sender<T>,
}

impl<T> Clone for Pusher<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone() }
    }
}

impl<T> Pusher<T> {
    /// Pushes an item, waiting while the queue is full.
    ///
    /// Cancel safety: when dropped, the item was not pushed, and is dropped too.
    ///
    /// # Errors
    /// [`PushError`] with the item when the receiver is gone.
    pub async fn push(&self, item: T) -> Result<(), PushError<T>> {
        self.sender.send(item).await.map_err(|error| PushError(error.0))
    }

    /// Pushes an item when there is room.
    ///
    /// # Errors
    /// [`TryPushError`] with the item.
    pub fn try_push(&self, item: T) -> Result<(), TryPushError<T>> {
        self.sender.try_send(item).map_err(|error| match error {
            TrySendError::Full(item) => TryPushError::Full(item),
            TrySendError::Closed(item) => TryPushError::Closed(item),
        })
    }
}

/// Takes batches.
#[derive(Debug)]
pub struct Batches<R: Runtime, T> {
    runtime: R,
    options: BatchOptions,
    receiver: channel::Receiver<T>,
    /// The batch that is being collected.
    batch: Vec<T>,
    /// When it is due: runs from its first item.
    due: Option<Sleep<R::Alarm>>,
}

impl<R: Runtime, T: Send> Batches<R, T> {
    /// The next batch, never empty, items in the order of pushing; `None` when all pushers are gone and everything was
    /// taken.
    ///
    /// Cancel safety: cancel safe; a batch that is being collected, and when it is due, are kept for the next call.
    pub async fn next(&mut self) -> Option<Vec<T>> {
        while self.batch.len() < self.options.size.get() {
            // What is there first: it costs no wait, and a batch that is due still fills.
            if let Ok(item) = self.receiver.try_recv() {
                self.take_in(item);
                continue;
            }
            if self.batch.is_empty() {
                let item = self.receiver.recv().await.ok()?;
                self.take_in(item);
                continue;
            }
            let Some(due) = &mut self.due else { break };
            match select(pin!(self.receiver.recv()), due).await {
                Either::Left((Ok(item), _)) => self.take_in(item),
                Either::Left((Err(_), _)) | Either::Right(_) => break,
            }
        }
        self.due = None;
        Some(std::mem::take(&mut self.batch))
    }

    fn take_in(&mut self, item: T) {
        if self.batch.is_empty() && !self.options.linger.is_zero() && self.options.size.get() > 1 {
            self.due = Some(self.runtime.sleep(self.options.linger));
        }
        self.batch.push(item);
    }
}

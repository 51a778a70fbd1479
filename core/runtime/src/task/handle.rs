//! The handle to a task.

use super::node::{AsNode, Node};
use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// It was cancelled, or its parent or runtime ended.
    #[error("the task was cancelled")]
    Cancelled,
    /// It panicked with this message.
    #[error("the task panicked: {0}")]
    Panicked(String),
}

impl TaskError {
    pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a value that is not a string".to_owned());
        Self::Panicked(message)
    }
}

/// A task's node and the place for its result, in one allocation.
pub(crate) struct Cell<T> {
    pub(crate) node: Node,
    result: Mutex<Option<Result<T, TaskError>>>,
}

impl<T> Cell<T> {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, result: Mutex::new(None) }
    }

    pub(crate) fn put(&self, result: Result<T, TaskError>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    fn take(&self) -> Option<Result<T, TaskError>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T: Send> AsNode for Cell<T> {
    fn node(&self) -> &Node {
        &self.node
    }
}

/// A handle to a spawned task. Awaiting it gives the result once the task and all its children have ended.
///
/// Dropping it cancels the task: the body is dropped at its next scheduled poll, on the thread that polls it.
/// Awaiting is cancel safe in itself, but the handle owns the task: use [`Task::detach`] to let it go on alone.
#[must_use = "dropping a task's handle cancels the task; detach it to let it run"]
pub struct Task<T> {
    cell: Arc<Cell<T>>,
    detached: bool,
}

impl<T> Task<T> {
    pub(crate) fn new(cell: Arc<Cell<T>>) -> Self {
        Self { cell, detached: false }
    }

    /// Lets the task run on without a handle. It still ends when its parent ends.
    pub fn detach(mut self) {
        self.detached = true;
    }

    /// Whether the task and its children have ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.cell.node.is_ended()
    }

    /// The id shown in the live dump.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.cell.node.id
    }

    /// Asks the task to end without waiting for it.
    pub fn request_cancel(&self) {
        self.cell.node.cancel();
    }

    /// Cancels the task and waits until it has ended. `Ok` when it had finished before the cancellation reached it.
    ///
    /// # Errors
    /// [`TaskError`] as from awaiting the handle.
    pub async fn cancel(self) -> Result<T, TaskError> {
        self.cell.node.cancel();
        self.await
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let node = &self.cell.node;
        if !node.is_ended() {
            node.watch_end(cx.waker());
            if !node.is_ended() {
                return Poll::Pending;
            }
        }
        // A second await after the result was taken reports a cancelled task rather than panicking.
        Poll::Ready(self.cell.take().unwrap_or(Err(TaskError::Cancelled)))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if !self.detached {
            self.cell.node.cancel();
        }
    }
}

impl<T> std::fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("id", &self.id()).field("name", &self.cell.node.kind.name).finish()
    }
}

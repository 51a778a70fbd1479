//! Many tasks that succeed or fail together.

use super::cancel::CancellationToken;
use crate::runtime::Runtime;
use crate::task::{Task, TaskError};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Why a group failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError<E> {
    /// A task returned this error.
    #[error("a task of the group failed: {0}")]
    Failed(E),
    /// A task panicked, or was cancelled from outside the group.
    #[error("a task of the group ended early: {0}")]
    Task(#[from] TaskError),
    /// [`TaskGroup::cancel`] was called.
    #[error("the group was cancelled")]
    Cancelled,
}

/// A nursery: spawn many tasks, wait for all. The first error or panic cancels the rest, at once and wherever the owner
/// is. At most `limit` live at a time. Dropping the group cancels its tasks.
#[derive(Debug)]
pub struct TaskGroup<R, T, E> {
    runtime: R,
    name: &'static str,
    limit: NonZeroUsize,
    token: CancellationToken,
    running: FuturesUnordered<Member<T, E>>,
    /// Outputs that nobody has taken yet, with their numbers.
    finished: VecDeque<(u64, T)>,
    next: u64,
    /// The first failure, while the others are ending.
    failed: Option<GroupError<E>>,
}

impl<R, T, E> TaskGroup<R, T, E>
where
    R: Runtime,
    T: Send + 'static,
    E: Send + 'static,
{
    /// An empty group whose tasks are called `name`, of which at most `limit` live at a time.
    #[must_use]
    pub fn new(runtime: R, name: &'static str, limit: NonZeroUsize) -> Self {
        Self {
            runtime,
            name,
            limit,
            token: CancellationToken::new(),
            running: FuturesUnordered::new(),
            finished: VecDeque::new(),
            next: 0,
            failed: None,
        }
    }

    /// Starts a task, once fewer than the limit are live.
    ///
    /// Cancel safety: cancel safe; when dropped, the task was not started.
    ///
    /// # Errors
    /// The group's failure when there was one; all its tasks have ended then, outputs not taken are dropped, and the
    /// group is as new.
    pub async fn spawn<F>(&mut self, task: F) -> Result<(), GroupError<E>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        while self.running.len() >= self.limit.get() || self.token.is_cancelled() {
            self.step().await?;
        }
        let guard = CancelGroup(Some(self.token.clone()));
        let token = self.token.clone();
        let task = self.runtime.spawn(self.name, async move {
            let mut guard = guard;
            let result = token.run_until(task).await;
            if matches!(result, Some(Ok(_))) {
                guard.0 = None;
            }
            result
        });
        self.running.push(Member { number: self.next, task });
        self.next += 1;
        Ok(())
    }

    /// The output of the next task to end; `None` when all were taken.
    ///
    /// Cancel safety: cancel safe.
    ///
    /// # Errors
    /// As [`TaskGroup::spawn`].
    pub async fn next(&mut self) -> Option<Result<T, GroupError<E>>> {
        loop {
            if self.failed.is_none()
                && let Some((_, output)) = self.finished.pop_front()
            {
                return Some(Ok(output));
            }
            match self.step().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Waits for all tasks. The outputs that were not taken by [`TaskGroup::next`], in the order of spawning.
    ///
    /// Cancel safety: dropping it drops the group, which cancels its tasks.
    ///
    /// # Errors
    /// As [`TaskGroup::spawn`].
    pub async fn join(mut self) -> Result<Vec<T>, GroupError<E>> {
        while self.step().await? {}
        let mut finished = Vec::from(self.finished);
        finished.sort_by_key(|(number, _)| *number);
        Ok(finished.into_iter().map(|(_, output)| output).collect())
    }

    /// Asks all tasks to end; the next call of another verb waits for them and reports [`GroupError::Cancelled`],
    /// unless one has failed before.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Tasks that have been started and whose end this group has not yet seen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Sees one task end: true, or false when there is none. After a failure, sees all of them end.
    async fn step(&mut self) -> Result<bool, GroupError<E>> {
        while let Some((number, ended)) = self.running.next().await {
            let error = match ended {
                Ok(Some(Ok(output))) => {
                    self.finished.push_back((number, output));
                    if self.failed.is_none() && !self.token.is_cancelled() {
                        return Ok(true);
                    }
                    continue;
                }
                // Cancelled by the group: the failure that did it is among the others.
                Ok(None) => continue,
                Ok(Some(Err(error))) => GroupError::Failed(error),
                Err(error) => GroupError::Task(error),
            };
            self.token.cancel();
            self.failed.get_or_insert(error);
        }
        if !self.token.is_cancelled() {
            return Ok(false);
        }
        self.finished.clear();
        self.token = CancellationToken::new();
        Err(self.failed.take().unwrap_or(GroupError::Cancelled))
    }
}

/// One task and its number in the order of spawning.
#[derive(Debug)]
struct Member<T, E> {
    number: u64,
    task: Task<Option<Result<T, E>>>,
}

impl<T, E> Future for Member<T, E> {
    type Output = (u64, Result<Option<Result<T, E>>, TaskError>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let number = self.number;
        Pin::new(&mut self.task).poll(cx).map(|ended| (number, ended))
    }
}

/// Cancels the group when a task ends otherwise than well: by an error, a panic or a cancellation from outside.
struct CancelGroup(Option<CancellationToken>);

impl Drop for CancelGroup {
    fn drop(&mut self) {
        if let Some(token) = self.0.take() {
            token.cancel();
        }
    }
}

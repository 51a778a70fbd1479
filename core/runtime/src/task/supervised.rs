//! The future that an executor polls for a task.

use super::handle::{Cell, TaskError};
use super::line::{self, Defer, Place};
use super::node::{AsNode, swap_current};
use super::polls::LONG_POLL;
use super::stats::Ending;
use super::turn;
use crate::compose::Io;
use pin_project_lite::pin_project;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pin_project! {
    /// A task's body with its supervision: current-task marker, cancellation, panic containment, statistics.
    pub(crate) struct Supervised<F: Future, I: Io>
    where
        F::Output: Send,
        F::Output: 'static,
    {
        #[pin]
        body: Option<F>,
        io: I,
        cell: Arc<Cell<F::Output>>,
        // The cell once more, as the current task: lent to the thread for each poll, so that a poll counts no references.
        current: Option<Arc<dyn AsNode>>,
        // The waker that a cancellation uses: it rarely changes from poll to poll.
        watched: Option<Waker>,
        defer: Option<Defer>,
        // Where it waits after it has given way.
        place: Option<Place>,
    }

    impl<F: Future, I: Io> PinnedDrop for Supervised<F, I>
    where
        F::Output: Send,
        F::Output: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            // Only when the executor gives the task up before its end.
            if this.body.is_some() {
                this.end(Err(TaskError::Cancelled));
            }
        }
    }
}

impl<F, I> Supervised<F, I>
where
    F: Future,
    F::Output: Send + 'static,
    I: Io,
{
    pub(crate) fn new(body: F, io: I, cell: Arc<Cell<F::Output>>, defer: Option<Defer>) -> Self {
        Self { body: Some(body), io, cell, current: None, watched: None, defer, place: None }
    }

    /// Drops the body and reports how it ended.
    fn end(self: Pin<&mut Self>, result: Result<F::Output, TaskError>) {
        let mut this = self.project();
        let before = swap_current(Some(Arc::clone(this.cell) as Arc<dyn AsNode>));
        let dropped = catch_unwind(AssertUnwindSafe(|| this.body.set(None)));
        swap_current(before);
        // A destructor that panics fails the task, whatever its body returned.
        let result = match dropped {
            Ok(()) => result,
            Err(payload) => Err(TaskError::panicked(&*payload)),
        };
        let ending = match &result {
            Ok(_) => Ending::Completed,
            Err(TaskError::Cancelled) => Ending::Cancelled,
            Err(TaskError::Panicked(message)) => {
                tracing::error!(
                    task = this.cell.node.kind.name,
                    id = this.cell.node.id,
                    message,
                    "task panicked"
                );
                Ending::Failed
            }
        };
        this.cell.put(result);
        this.cell.node.close(ending);
    }
}

impl<F, I> Future for Supervised<F, I>
where
    F: Future,
    F::Output: Send + 'static,
    I: Io,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.as_mut().project();
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(()) };
        let node = &this.cell.node;
        if !this.watched.as_ref().is_some_and(|watched| watched.will_wake(cx.waker())) {
            node.watch(cx.waker());
            *this.watched = Some(cx.waker().clone());
        }
        if node.is_cancelled() {
            self.end(Err(TaskError::Cancelled));
            return Poll::Ready(());
        }
        if this.place.as_ref().is_some_and(|place| place.waits(cx.waker())) {
            return Poll::Pending;
        }
        let current = this.current.take().unwrap_or_else(|| Arc::clone(this.cell) as Arc<dyn AsNode>);
        let before = swap_current(Some(current));
        let started = this.io.now();
        let turn = turn::begin(started, cx.waker(), *this.defer, this.place.is_some());
        let polled = catch_unwind(AssertUnwindSafe(|| body.poll(cx)));
        let took = this.io.now().saturating_duration_since(started);
        node.work.polled(took);
        if took >= LONG_POLL {
            node.kind.long_polls.record(took);
        }
        let given = turn::end(turn);
        if let Some(place) = this.place.take() {
            place.leave();
        }
        if let Some(parts) = given
            && matches!(polled, Ok(Poll::Pending))
        {
            *this.place = line::enter(*this.defer, cx.waker(), parts);
        }
        *this.current = swap_current(before);
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(TaskError::panicked(&*payload)),
        };
        self.end(result);
        Poll::Ready(())
    }
}

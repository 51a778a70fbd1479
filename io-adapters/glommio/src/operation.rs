//! Ring operations that own buffers: polled as rarely as can be, and never left unfinished.

use crate::wait::Signal;
use glommio::TaskQueueHandle;
use std::future::Future;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

/// How many operations of a shard are in the kernel's hands.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicUsize);

impl Tally {
    pub(crate) fn in_flight(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// A glommio operation.
///
/// - glommio's future leaves one more waker with the operation at every poll: this polls it once to start it and then
///   only when it was woken.
/// - Dropped in flight, it hands the future to a task of its own, so that buffers and descriptors stay valid until the
///   kernel is done with them.
pub(crate) struct Operation<T: 'static> {
    future: Option<Pin<Box<dyn Future<Output = T>>>>,
    signal: Arc<Signal>,
    tally: Arc<Tally>,
    started: bool,
}

impl<T> Operation<T> {
    pub(crate) fn new(tally: &Arc<Tally>, future: impl Future<Output = T> + 'static) -> Self {
        let signal = Arc::new(Signal::default());
        Self { future: Some(Box::pin(future)), signal, tally: Arc::clone(tally), started: false }
    }
}

impl<T> Future for Operation<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let fired = self.signal.poll_fired(cx).is_ready();
        if self.started && !fired {
            return Poll::Pending;
        }
        self.signal.reset();
        if !self.started {
            self.started = true;
            self.tally.0.fetch_add(1, Ordering::AcqRel);
        }
        let waker = Waker::from(Arc::clone(&self.signal));
        let Some(future) = self.future.as_mut() else { return Poll::Pending };
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(output) => {
                self.future = None;
                self.tally.0.fetch_sub(1, Ordering::AcqRel);
                Poll::Ready(output)
            }
        }
    }
}

impl<T> Drop for Operation<T> {
    fn drop(&mut self) {
        if !self.started {
            return;
        }
        let Some(future) = self.future.take() else { return };
        // Only in a program that lets its own executor end while tasks of the seam are left: glommio says so by a panic,
        // and what is leaked here is what the kernel may still write to.
        if catch_unwind(|| glommio::executor().id()).is_err() {
            std::mem::forget(future);
            return;
        }
        let tally = Arc::clone(&self.tally);
        let finish = async move {
            drop(future.await);
            tally.0.fetch_sub(1, Ordering::AcqRel);
        };
        // The default queue is always there.
        if let Ok(task) = glommio::spawn_local_into(finish, TaskQueueHandle::default()) {
            task.detach();
        }
    }
}

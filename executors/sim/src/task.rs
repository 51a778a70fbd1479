//! One task and its waker.

use crate::scheduler::Core;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

/// A future of the seam's, as executors get them.
pub(crate) type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task's place in the scheduler.
pub(crate) struct Slot {
    /// Counts up over all tasks.
    pub(crate) number: u64,
    pub(crate) process: usize,
    pub(crate) priority: u64,
    /// Out while it is polled.
    pub(crate) body: Option<Body>,
    pub(crate) handle: Arc<Handle>,
    pub(crate) waker: Waker,
}

/// What wakes a task, from any thread.
pub(crate) struct Handle {
    pub(crate) number: u64,
    pub(crate) index: usize,
    /// Whether it is ready already.
    pub(crate) queued: AtomicBool,
    pub(crate) core: Weak<Core>,
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel)
            && let Some(core) = self.core.upgrade()
        {
            core.make_ready(self.index, self.number);
        }
    }
}

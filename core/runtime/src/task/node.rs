//! One task's place in the tree.

use super::stats::{Ending, Kind, Work};
use futures_util::task::AtomicWaker;
use slab::Slab;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The task was asked to end.
const CANCELLED: u8 = 1;
/// The body has ended; no more children.
const CLOSED: u8 = 2;
/// The body and all children have ended.
const ENDED: u8 = 4;

/// A task's cell, whatever its result type.
pub(crate) trait AsNode: Send + Sync {
    fn node(&self) -> &Node;
}

thread_local! {
    /// The task that this thread is polling.
    static CURRENT: RefCell<Option<Arc<dyn AsNode>>> = const { RefCell::new(None) };
}

/// Makes `task` the current one of this thread and returns the one before.
pub(crate) fn swap_current(task: Option<Arc<dyn AsNode>>) -> Option<Arc<dyn AsNode>> {
    // The thread may already be losing its locals; there is no current task then.
    CURRENT.try_with(|current| std::mem::replace(&mut *current.borrow_mut(), task)).ok().flatten()
}

/// The task that this thread is polling, when it belongs to the tree with this identity.
pub(crate) fn current_in(tree: u64) -> Option<Arc<dyn AsNode>> {
    CURRENT
        .try_with(|current| current.borrow().as_ref().filter(|task| task.node().tree == tree).map(Arc::clone))
        .ok()
        .flatten()
}

/// The children of a task that have not ended.
type Children = Slab<Arc<dyn AsNode>>;

/// One task's place in the tree.
pub(crate) struct Node {
    pub(crate) id: u64,
    /// Which tree it belongs to.
    pub(crate) tree: u64,
    pub(crate) kind: Arc<Kind>,
    pub(crate) parent: Option<Arc<dyn AsNode>>,
    pub(crate) work: Work,
    /// Its place among the parent's children.
    slot: AtomicUsize,
    /// Boxed on the first child: most tasks have none.
    children: Mutex<Option<Box<Children>>>,
    /// The body, to poll it when it shall notice a cancellation.
    waker: AtomicWaker,
    /// Whoever awaits the end.
    joiner: AtomicWaker,
    state: AtomicU8,
    /// One for the body and one for each child.
    pending: AtomicUsize,
}

impl Node {
    pub(crate) fn new(id: u64, tree: u64, kind: Arc<Kind>, parent: Option<Arc<dyn AsNode>>) -> Self {
        Self {
            id,
            tree,
            kind,
            parent,
            work: Work::default(),
            slot: AtomicUsize::new(usize::MAX),
            children: Mutex::new(None),
            waker: AtomicWaker::new(),
            joiner: AtomicWaker::new(),
            state: AtomicU8::new(0),
            pending: AtomicUsize::new(1),
        }
    }

    /// Puts a new task under its parent. Under one whose body has ended, it starts out cancelled.
    pub(crate) fn enter(task: &Arc<dyn AsNode>) {
        let node = task.node();
        node.kind.spawned();
        let Some(parent) = &node.parent else { return };
        let parent = parent.node();
        let mut children = parent.children();
        parent.pending.fetch_add(1, Ordering::Relaxed);
        let slot = children.get_or_insert_default().insert(Arc::clone(task));
        node.slot.store(slot, Ordering::Release);
        if parent.is_closed() {
            node.state.fetch_or(CANCELLED, Ordering::AcqRel);
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.load(Ordering::Acquire) & CANCELLED != 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) & ENDED != 0
    }

    /// Asks the body to end at its next poll, and has it polled.
    pub(crate) fn cancel(&self) {
        if self.state.fetch_or(CANCELLED, Ordering::AcqRel) & (CANCELLED | CLOSED) == 0 {
            self.waker.wake();
        }
    }

    /// Has a later [`Node::cancel`] poll the body through `waker`.
    pub(crate) fn watch(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// Has the end wake `waker`.
    pub(crate) fn watch_end(&self, waker: &std::task::Waker) {
        self.joiner.register(waker);
    }

    /// The body has ended: counts it, cancels the children, and ends the task once they have ended.
    pub(crate) fn close(&self, ending: Ending) {
        self.waker.take();
        self.close_children();
        self.kind.ended(ending, &self.work);
        self.release();
    }

    /// Refuses further children and cancels those there are.
    pub(crate) fn close_children(&self) {
        let children: Vec<_> = {
            let children = self.children();
            self.state.fetch_or(CLOSED, Ordering::AcqRel);
            children.iter().flat_map(|children| children.iter()).map(|(_, child)| Arc::clone(child)).collect()
        };
        for child in children {
            child.node().cancel();
        }
    }

    /// Gives up one pending part; the last one ends the task and gives up its part in the parent.
    fn release(&self) {
        if self.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        // Out of the live tree first, so that whoever awaited the end no longer sees the task there.
        if let Some(parent) = &self.parent {
            let slot = self.slot.load(Ordering::Acquire);
            let removed = parent.node().children().as_mut().and_then(|children| children.try_remove(slot));
            drop(removed);
        }
        self.state.fetch_or(ENDED, Ordering::AcqRel);
        self.joiner.wake();
        if let Some(parent) = &self.parent {
            let parent = parent.node();
            // The root never ends; its only waiter looks at its children.
            parent.joiner.wake();
            parent.release();
        }
    }

    /// The children that have not ended.
    pub(crate) fn live_children(&self) -> Vec<Arc<dyn AsNode>> {
        self.children()
            .iter()
            .flat_map(|children| children.iter())
            .map(|(_, child)| Arc::clone(child))
            .collect()
    }

    /// Whether all children have ended.
    pub(crate) fn is_childless(&self) -> bool {
        self.children().as_ref().is_none_or(|children| children.is_empty())
    }

    fn children(&self) -> MutexGuard<'_, Option<Box<Children>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

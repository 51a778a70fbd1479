//! The tasks of one shard.

use super::handle::Cell;
use super::node::{AsNode, Node, current_in};
use super::polls::PollDurations;
use super::stats::{Class, Kind, KindStats, TaskInfo};
use crate::shard::Shard;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

/// Tells trees apart, so that a task of another runtime on the same thread is never taken for a parent.
static NEXT_TREE: AtomicU64 = AtomicU64::new(0);

/// The tasks of one shard: statistics by kind, and the live tree.
pub struct Tree {
    shard: Shard,
    backend: &'static str,
    identity: u64,
    root: Arc<dyn AsNode>,
    next_id: AtomicU64,
    kinds: Mutex<BTreeMap<(Class, &'static str), Arc<Kind>>>,
    /// Polls before the last reset.
    polls_before: AtomicU64,
}

impl Tree {
    pub(crate) fn new(backend: &'static str, shard: Shard) -> Self {
        let identity = NEXT_TREE.fetch_add(1, Ordering::Relaxed);
        let kind = Arc::new(Kind::new("root", Class::General));
        let root = Arc::new(Cell::<()>::new(Node::new(0, identity, kind, None)));
        Self {
            shard,
            backend,
            identity,
            root,
            next_id: AtomicU64::new(1),
            kinds: Mutex::new(BTreeMap::new()),
            polls_before: AtomicU64::new(0),
        }
    }

    /// The shard whose tasks these are.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// The backend that polls them.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// A cell for a new task under the current one, in `class` or else the parent's class.
    pub(crate) fn enter<T: Send + 'static>(&self, name: &'static str, class: Option<Class>) -> Arc<Cell<T>> {
        let parent = current_in(self.identity).unwrap_or_else(|| Arc::clone(&self.root));
        let class = class.unwrap_or(parent.node().kind.class);
        let kind = {
            let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(kinds.entry((class, name)).or_insert_with(|| Arc::new(Kind::new(name, class))))
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let cell = Arc::new(Cell::new(Node::new(id, self.identity, kind, Some(parent))));
        let node: Arc<dyn AsNode> = Arc::clone(&cell) as Arc<dyn AsNode>;
        Node::enter(&node);
        cell
    }

    /// Cancels all tasks, refuses new ones (they start out cancelled), and waits until all have ended.
    pub async fn shut_down(&self) {
        let root = self.root.node();
        root.close_children();
        poll_fn(|cx| {
            root.watch_end(cx.waker());
            if root.is_childless() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Tasks that have not ended, counted by walking the live tree.
    #[must_use]
    pub fn live(&self) -> usize {
        self.tasks().len()
    }

    /// Totals by kind, sorted by class and name; work of live tasks is included.
    #[must_use]
    pub fn kinds(&self) -> Vec<KindStats> {
        let mut kinds: Vec<_> = {
            let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            kinds.values().map(|kind| kind.stats()).collect()
        };
        for task in self.tasks().into_iter().filter(|task| !task.closing) {
            if let Some(kind) =
                kinds.iter_mut().find(|kind| kind.name == task.name && kind.class == task.class)
            {
                kind.polls += task.polls;
                kind.busy += task.busy;
                kind.longest_poll = kind.longest_poll.max(task.longest_poll);
            }
        }
        kinds
    }

    /// How long single polls held this shard's threads, since the start or the last [`Tree::reset_polls`]. Walks the live tree
    /// to count the polls that were not long.
    #[must_use]
    pub fn polls(&self) -> PollDurations {
        let before = self.polls_before.load(Ordering::Relaxed);
        let mut out = PollDurations { polls: self.polls_ever().saturating_sub(before), ..Default::default() };
        for kind in self.kinds.lock().unwrap_or_else(PoisonError::into_inner).values() {
            if let Some((stats, long)) = kind.long_polls.stats(kind.name, kind.class) {
                out.long.add(&long);
                out.kinds.push(stats);
            }
        }
        // A task that ended during the walk was not counted, or a long poll came after it.
        out.polls = out.polls.max(out.long.count());
        out.sort();
        out
    }

    /// Begins [`Tree::polls`] anew, to measure one phase of a load. [`Tree::kinds`] and [`Tree::tasks`] keep what they have.
    pub fn reset_polls(&self) {
        self.polls_before.store(self.polls_ever(), Ordering::Relaxed);
        for kind in self.kinds.lock().unwrap_or_else(PoisonError::into_inner).values() {
            kind.long_polls.reset();
        }
    }

    /// Polls of ended and live tasks since the start.
    fn polls_ever(&self) -> u64 {
        let mut polls: u64 = {
            let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            kinds.values().map(|kind| kind.polls()).sum()
        };
        let mut stack = self.root.node().live_children();
        while let Some(task) = stack.pop() {
            let node = task.node();
            if !node.is_closed() {
                polls = polls.saturating_add(node.work.polls());
            }
            stack.append(&mut node.live_children());
        }
        polls
    }

    /// The live tasks, depth first.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskInfo> {
        let mut out = Vec::new();
        let mut stack: Vec<(usize, Arc<dyn AsNode>)> =
            children(&*self.root).map(|child| (0, child)).collect();
        while let Some((depth, task)) = stack.pop() {
            let node = task.node();
            out.push(TaskInfo {
                id: node.id,
                parent: node.parent.as_ref().map(|parent| parent.node().id).filter(|id| *id != 0),
                depth,
                name: node.kind.name,
                class: node.kind.class,
                polls: node.work.polls(),
                busy: node.work.busy(),
                longest_poll: node.work.longest(),
                cancelled: node.is_cancelled(),
                closing: node.is_closed(),
            });
            stack.extend(children(&*task).map(|child| (depth + 1, child)));
        }
        out
    }

    /// The live tree as text, for people.
    #[must_use]
    pub fn dump(&self) -> String {
        let tasks = self.tasks();
        let mut text = format!("{} shard {}: {} tasks\n", self.backend, self.shard.index, tasks.len());
        for task in tasks {
            let indent = "  ".repeat(task.depth + 1);
            let mark = match (task.closing, task.cancelled) {
                (true, _) => " closing",
                (_, true) => " cancelled",
                _ => "",
            };
            let _ = writeln!(
                text,
                "{indent}{} #{} [{}] polls {} busy {:?} longest {:?}{mark}",
                task.name, task.id, task.class, task.polls, task.busy, task.longest_poll
            );
        }
        text
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree")
            .field("backend", &self.backend)
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

/// A task's children, last first, so that a stack pops them in order.
fn children(task: &dyn AsNode) -> impl Iterator<Item = Arc<dyn AsNode>> + use<> {
    let mut children = task.node().live_children();
    children.sort_by_key(|child| std::cmp::Reverse(child.node().id));
    children.into_iter()
}

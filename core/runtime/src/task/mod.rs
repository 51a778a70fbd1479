//! The task tree: names, classes, handles, statistics and the live dump, the same on every executor.
//!
//! An executor only has to poll a future to its end ([`crate::Executor::execute`]). Everything else is here: a task
//! is wrapped in a supervised future that knows its parent, can be cancelled from any thread (its body is always
//! dropped where it was polled), contains panics, and counts polls and busy time.
//!
//! Rules that hold on every backend:
//! - a task is a child of the task that spawned it; outside of any, of the shard's root;
//! - dropping its handle cancels it, unless it was detached;
//! - when a task's body ends, its children are cancelled; its handle is ready when all of them have ended;
//! - a panic ends one task and is reported to whoever awaits it;
//! - a task whose I/O is always ready yields all the same ([`poll_budget`]).

mod handle;
mod line;
mod node;
mod polls;
mod stats;
mod supervised;
mod tree;
mod turn;

pub use handle::{Task, TaskError};
pub use polls::{BLOCKING_POLL, KindPolls, LONG_POLL, PollDurations};
pub use stats::{Class, KindStats, TaskInfo};
pub use tree::Tree;
pub use turn::{give_way, is_spent, poll_budget, poll_long, polled_at, spend_accept, spend_bytes};

pub(crate) use supervised::Supervised;

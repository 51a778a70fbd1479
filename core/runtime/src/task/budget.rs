//! Fairness: how much I/O a task may do in one poll.

use std::cell::Cell;
use std::task::{Context, Poll};

/// Operations a task may complete in one poll before it must let others run: at a microsecond or a few each, a small
/// part of a millisecond.
const OPERATIONS: u32 = 128;

thread_local! {
    /// What the task that this thread is polling has left; nobody is held back outside of a task.
    static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// Called by adapters before an operation that may complete at once. Pending, with the task woken again, when it has
/// done as much as it may in this poll: a task whose I/O is always ready (a flooded socket) would otherwise hold its
/// thread for ever, and not even notice that it was cancelled.
pub fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    let spent = LEFT.try_with(|left| match left.get().checked_sub(1) {
        Some(rest) => {
            left.set(rest);
            false
        }
        None => true,
    });
    if spent.unwrap_or(false) {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

/// Gives a full budget to the task that is about to be polled; returns what the one around it had left.
pub(crate) fn begin() -> u32 {
    LEFT.try_with(|left| left.replace(OPERATIONS)).unwrap_or(u32::MAX)
}

/// Gives back to the task around what it had left.
pub(crate) fn end(before: u32) {
    // The thread may already be losing its locals; nobody is polled then.
    let _ = LEFT.try_with(|left| left.set(before));
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    #[test]
    fn a_task_has_so_many_operations_and_nobody_else_is_held_back() {
        let mut cx = Context::from_waker(noop_waker_ref());
        let before = begin();
        for _ in 0..OPERATIONS {
            assert!(poll_budget(&mut cx).is_ready());
        }
        assert!(poll_budget(&mut cx).is_pending());
        assert!(poll_budget(&mut cx).is_pending());
        end(before);
        for _ in 0..10 * OPERATIONS {
            assert!(poll_budget(&mut cx).is_ready());
        }
    }
}

//! A task's turn: when its poll began, and how much I/O it may still do in it.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::time::Instant;

/// Operations a task may complete in one poll before it must let others run: at a microsecond or a few each, a small
/// part of a millisecond.
const OPERATIONS: u32 = 128;

thread_local! {
    /// The turn of the task that this thread is polling; nobody is held back outside of a task.
    static TURN: Cell<Turn> = const { Cell::new(Turn { left: u32::MAX, began: None }) };
}

#[derive(Clone, Copy)]
pub(crate) struct Turn {
    left: u32,
    began: Option<Instant>,
}

/// When the poll of the task that this thread is polling began, by its runtime's clock; `None` outside of a task.
///
/// For drivers that need the time once in a poll and not to the microsecond: the seam has read the clock already.
#[must_use]
pub fn polled_at() -> Option<Instant> {
    TURN.try_with(|turn| turn.get().began).ok().flatten()
}

/// Called by adapters before an operation that may complete at once. Pending, with the task woken again, when it has
/// done as much as it may in this poll: a task whose I/O is always ready (a flooded socket) would otherwise hold its
/// thread for ever, and not even notice that it was cancelled.
pub fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    let spent = TURN.try_with(|turn| {
        let Turn { left, began } = turn.get();
        match left.checked_sub(1) {
            Some(left) => {
                turn.set(Turn { left, began });
                false
            }
            None => true,
        }
    });
    if spent.unwrap_or(false) {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

/// Gives a full turn to the task that is about to be polled; returns that of the one around it.
pub(crate) fn begin(now: Instant) -> Turn {
    let turn = Turn { left: OPERATIONS, began: Some(now) };
    TURN.try_with(|around| around.replace(turn)).unwrap_or(turn)
}

/// Gives the turn back to the task around.
pub(crate) fn end(around: Turn) {
    // The thread may already be losing its locals; nobody is polled then.
    let _ = TURN.try_with(|turn| turn.set(around));
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    #[test]
    fn a_task_has_so_many_operations_and_nobody_else_is_held_back() {
        let mut cx = Context::from_waker(noop_waker_ref());
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        assert_eq!(polled_at(), None);
        let before = begin(now);
        assert_eq!(polled_at(), Some(now));
        for _ in 0..OPERATIONS {
            assert!(poll_budget(&mut cx).is_ready());
        }
        assert!(poll_budget(&mut cx).is_pending());
        assert!(poll_budget(&mut cx).is_pending());
        end(before);
        assert_eq!(polled_at(), None);
        for _ in 0..10 * OPERATIONS {
            assert!(poll_budget(&mut cx).is_ready());
        }
    }
}

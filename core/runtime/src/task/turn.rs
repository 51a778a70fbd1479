//! A task's turn: when its poll began, and how much I/O it may still do in it.

use super::line::{self, Defer};
use std::cell::Cell;
use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Operations a task may complete in one poll before it must let others run: at a microsecond or a few each, a small
/// part of a millisecond.
const OPERATIONS: u32 = 128;

/// Bytes that count as an operation: so that large reads and writes, which take longer, do not add up to milliseconds.
const BYTES: usize = 4096;

/// Operations that accepting a connection counts as.
const ACCEPT: u32 = 8;

thread_local! {
    /// The operations that are left to the task that this thread is polling; nobody is held back outside of a task.
    static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
    /// When that task's poll began.
    static BEGAN: Cell<Option<(Instant, Identity)>> = const { Cell::new(None) };
    /// Who has given way in it.
    static GIVEN: Cell<Vec<Waker>> = const { Cell::new(Vec::new()) };
    /// Long operations that it may do because it has stood in line; how its executor defers.
    static LONG: Cell<(u32, Option<Defer>)> = const { Cell::new((0, None)) };
}

/// The turn of the task around another.
pub(crate) struct Turn {
    left: u32,
    began: Option<(Instant, Identity)>,
    given: Vec<Waker>,
    long: (u32, Option<Defer>),
}

/// A waker, told from others by where it points.
type Identity = (usize, usize);

fn identity(waker: &Waker) -> Identity {
    (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
}

/// When the poll of the task that this thread is polling began, by its runtime's clock, if `waker` is that task's own.
///
/// For drivers that need the time once in a poll and not to the microsecond: the seam has read the clock already. Whatever
/// wakes `waker` later than this instant leads to another poll of the task, with an instant of its own. That does not hold for the
/// wakers of combinators that poll their parts several times within one poll of the task (`FuturesUnordered`): `None` for these, and
/// outside of a task.
#[must_use]
pub fn polled_at(waker: &Waker) -> Option<Instant> {
    let (began, own) = BEGAN.try_with(Cell::get).ok().flatten()?;
    (own == identity(waker)).then_some(began)
}

/// Called by adapters before an operation that may complete at once. Pending, with the task woken again, when it has
/// done as much as it may in this poll, after which it gives way to others: a task whose I/O is always ready (a flooded socket) would
/// otherwise hold its thread for ever, and not even notice that it was cancelled.
pub fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    let spent = LEFT.try_with(|left| match left.get().checked_sub(1) {
        Some(rest) => {
            left.set(rest);
            false
        }
        None => true,
    });
    if spent.unwrap_or(false) {
        // At once: those who drive something for others look whether it has woken them before they leave it.
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

/// Whether the task that is being polled may do no more I/O in this poll: trying again before the next one is in vain.
#[must_use]
pub fn is_spent() -> bool {
    LEFT.try_with(|left| left.get() == 0).unwrap_or(false)
}

/// Called by adapters with what a read or a write of a stream has come to: counts each 4 KiB as an operation more.
pub fn spend_bytes(polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    if let Poll::Ready(Ok(bytes)) = &polled
        && *bytes >= BYTES
    {
        spend(u32::try_from(bytes / BYTES).unwrap_or(u32::MAX));
    }
    polled
}

/// Called by adapters with what accepting a connection has come to: counts one as several operations, since a task begins with
/// each that others wait for.
pub fn spend_accept<T>(polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    if let Poll::Ready(Ok(_)) = &polled {
        spend(ACCEPT - 1);
    }
    polled
}

fn spend(operations: u32) {
    let _ = LEFT.try_with(|left| {
        // Outside of a task there is no end to them.
        if left.get() <= OPERATIONS {
            left.set(left.get().saturating_sub(operations));
        }
    });
}

/// Always pending, and polled again once others have had their turn: for a task that could go on, but has worked for long
/// enough (some 100 µs). Of many that give way, a thread goes on with a few at a time, and looks in between at what the kernel
/// has ready.
pub fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    let in_task = BEGAN.try_with(|began| began.get().is_some()).unwrap_or(false);
    let noted = in_task
        && GIVEN
            .try_with(|given| {
                let mut wakers = given.take();
                wakers.push(cx.waker().clone());
                given.set(wakers);
            })
            .is_ok();
    if !noted {
        cx.waker().wake_by_ref();
    }
    Poll::Pending
}

/// Called before an operation that takes 100 µs or so and cannot be divided, as connecting does. Ready at once, unless two have been
/// done on this thread since it last looked at what the kernel has ready: then the task gives way, and calls this again.
pub fn poll_long(cx: &mut Context<'_>) -> Poll<()> {
    let may = LONG.try_with(|long| match long.get() {
        (_, None) => true,
        (0, Some(defer)) => line::take(defer),
        (left, defer) => {
            long.set((left - 1, defer));
            true
        }
    });
    if may.unwrap_or(true) { Poll::Ready(()) } else { give_way(cx) }
}

/// Gives a full turn to the task that is about to be polled, perhaps because it was called from the line; returns that of the one
/// around it.
pub(crate) fn begin(now: Instant, waker: &Waker, defer: Option<Defer>, called: bool) -> Turn {
    Turn {
        long: LONG.try_with(|long| long.replace((u32::from(called), defer))).unwrap_or_default(),
        left: LEFT.try_with(|left| left.replace(OPERATIONS)).unwrap_or(u32::MAX),
        began: BEGAN.try_with(|began| began.replace(Some((now, identity(waker))))).unwrap_or_default(),
        given: GIVEN.try_with(Cell::take).unwrap_or_default(),
    }
}

/// Gives the turn back to the task around; returns who has given way: nobody by name when the task has done all that it may.
pub(crate) fn end(around: Turn) -> Option<Vec<Waker>> {
    // The thread may already be losing its locals; nobody is polled then.
    let left = LEFT.try_with(|left| left.replace(around.left)).unwrap_or(u32::MAX);
    let _ = BEGAN.try_with(|began| began.set(around.began));
    let _ = LONG.try_with(|long| long.set(around.long));
    let given = GIVEN.try_with(|given| given.replace(around.given)).unwrap_or_default();
    (left == 0 || !given.is_empty()).then_some(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    struct Other;

    impl std::task::Wake for Other {
        fn wake(self: std::sync::Arc<Self>) {}
    }

    #[test]
    fn a_task_has_so_many_operations_and_nobody_else_is_held_back() {
        let mut cx = Context::from_waker(noop_waker_ref());
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let (own, foreign) = (cx.waker().clone(), std::task::Waker::from(std::sync::Arc::new(Other)));
        assert_eq!(polled_at(&own), None);
        let before = begin(now, &own, None, false);
        assert_eq!((polled_at(&own), polled_at(&foreign)), (Some(now), None));
        for _ in 0..OPERATIONS {
            assert!(!is_spent() && poll_budget(&mut cx).is_ready());
        }
        assert!(is_spent() && poll_budget(&mut cx).is_pending());
        assert!(poll_budget(&mut cx).is_pending());
        assert!(end(before).is_some_and(|given| given.is_empty()));
        assert!(end(begin(now, &own, None, false)).is_none());
        // The bytes of large ones count too.
        let before = begin(now, &own, None, false);
        for (bytes, left) in [(0, 128), (4095, 128), (4096, 127), (8191, 126), (16 * 1024, 122)] {
            assert!(spend_bytes(Poll::Ready(Ok(bytes))).is_ready());
            assert_eq!(LEFT.get(), left);
        }
        assert!(spend_bytes(Poll::Pending).is_pending() && !is_spent());
        assert!(
            spend_accept(Poll::Ready(Ok(()))).is_ready() && spend_accept::<()>(Poll::Pending).is_pending()
        );
        assert_eq!(LEFT.get(), 115);
        assert!(spend_bytes(Poll::Ready(Ok(usize::MAX))).is_ready() && is_spent());
        assert!(give_way::<()>(&mut cx).is_pending());
        assert!(end(before).is_some_and(|given| given.len() == 1));
        assert!(give_way::<()>(&mut cx).is_pending(), "woken at once");
        assert!(spend_bytes(Poll::Ready(Ok(usize::MAX))).is_ready() && !is_spent());
        assert_eq!(polled_at(&own), None);
        for _ in 0..10 * OPERATIONS {
            assert!(poll_budget(&mut cx).is_ready());
        }
    }
}

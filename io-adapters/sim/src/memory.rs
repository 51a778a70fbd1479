//! Counting memory, so that a simulation can be held to giving back what it took.
//!
//! A program that wants it makes [`Counting`] its global allocator. A simulation runs on one thread, so the counts of each
//! thread are kept apart: two simulations on two threads do not see each other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, with a count of each thread's bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counting;

fn count(bytes: usize, sign: i64) {
    // A thread that ends has no count any more, and nobody asks for it.
    let _ = LIVE.try_with(|live| live.set(live.get().wrapping_add(sign.wrapping_mul(bytes as i64))));
}

// SAFETY: all calls go to the system's allocator with the same arguments; counting allocates nothing, since the
// thread-local is initialised by a constant and has no destructor.
#[allow(unsafe_code, reason = "an allocator is unsafe by its trait")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promises are the system allocator's own.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as above; the memory came from the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Bytes that this thread has taken and not given back (what it gave back for other threads counts as well, so that
/// this may be negative); `None`: nobody counts.
#[must_use]
pub fn live() -> Option<i64> {
    let before = LIVE.get();
    let probe = std::hint::black_box(Box::new(0_u64));
    let counted = LIVE.get() != before;
    drop(probe);
    counted.then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static MEMORY: Counting = Counting;

    #[test]
    fn what_is_given_back_does_not_count() {
        let before = live().expect("counted");
        let mut bytes = vec![0_u8; 1000];
        assert_eq!(live(), Some(before + 1000));
        bytes.reserve_exact(2000);
        assert_eq!(live(), Some(before + 3000));
        drop(bytes);
        assert_eq!(live(), Some(before));
        std::thread::spawn(|| std::mem::forget(vec![0_u8; 5000])).join().expect("a thread");
        assert!(live().expect("counted") < before + 5000);
    }
}

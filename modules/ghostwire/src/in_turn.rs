//! Long work in pieces that holds memory meanwhile.
//!
//! Done at once, the decompression of a large message keeps a thread from everything else; done in pieces, that of many messages
//! would hold all of them half done. So on each thread one is done in pieces, and the others wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How often others look on before they take one for abandoned that does not go on.
const PATIENCE: u32 = 1000;

#[derive(Debug, Default)]
struct Place {
    taken: AtomicBool,
    /// Pieces that were done by whoever has it.
    pieces: AtomicU64,
}

thread_local! {
    static HERE: Arc<Place> = Arc::default();
}

/// The turn of one message; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct InTurn {
    held: Option<Arc<Place>>,
    seen: u64,
    looked: u32,
}

impl InTurn {
    /// Whether the next piece may be done. If not, it is to be asked again when others have had their turn.
    pub(crate) fn enter(&mut self) -> bool {
        if let Some(place) = &self.held {
            place.pieces.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let Ok(place) = HERE.try_with(Arc::clone) else { return true };
        if !place.taken.swap(true, Ordering::Acquire) {
            self.held = Some(place);
            return true;
        }
        let pieces = place.pieces.load(Ordering::Relaxed);
        if pieces != self.seen {
            (self.seen, self.looked) = (pieces, 0);
        }
        self.looked = self.looked.saturating_add(1);
        self.looked > PATIENCE
    }

    /// All pieces are done, or something else is waited for.
    pub(crate) fn leave(&mut self) {
        self.looked = 0;
        if let Some(place) = self.held.take() {
            place.taken.store(false, Ordering::Release);
        }
    }
}

impl Drop for InTurn {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other_unless_one_is_abandoned() {
        let (mut first, mut second, mut third) = (InTurn::default(), InTurn::default(), InTurn::default());
        assert!(first.enter());
        for _ in 0..PATIENCE {
            assert!(!second.enter());
        }
        // It goes on.
        assert!(first.enter() && !second.enter());
        drop(first);
        assert!(second.enter() && !third.enter());
        second.leave();
        assert!(third.enter());
        for _ in 0..PATIENCE {
            assert!(!second.enter());
        }
        assert!(second.enter(), "the third is abandoned");
        drop(third);
        assert!(second.enter() && second.held.is_some());
    }
}

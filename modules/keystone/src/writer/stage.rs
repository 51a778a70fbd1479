//! The place between applying and committing: room for one block.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use shroud_ledger::apply::AppliedBlock;
use shroud_ledger::{StateTree, TransactionHash};

use crate::SubmitError;
use crate::submission::Replies;

/// A block that was applied, and who waits for it.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) block: Arc<AppliedBlock>,
    /// The state after it.
    pub(super) tree: StateTree,
    /// The state before it, to be dropped where that may take its time.
    pub(super) before: StateTree,
    /// The journal's payload.
    pub(super) payload: Vec<u8>,
    /// One for each transaction.
    pub(super) replies: Vec<Replies>,
    /// Who was refused because of this block or of what was before it, and why: they are told once it is durable.
    pub(super) refused: Vec<(Replies, SubmitError)>,
}

/// Both ends are polled by the one task of the writer, the applying one first. So the committing end sees a block as soon
/// as it is put, without being woken; the other way, whoever takes a block must have the task polled again.
#[derive(Debug, Default)]
pub(super) struct Stage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sealed: Option<Sealed>,
    closed: bool,
}

impl Stage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_free(&self) -> bool {
        self.state().sealed.is_none()
    }

    pub(super) fn put(&self, sealed: Sealed) {
        let before = self.state().sealed.replace(sealed);
        debug_assert!(before.is_none(), "a block was put over another");
    }

    /// No block follows.
    pub(super) fn close(&self) {
        self.state().closed = true;
    }

    /// Waits for a block and gives what to write. It stays on the stage until it is taken. `None`: no block follows.
    pub(super) async fn next(&self) -> Option<(Arc<AppliedBlock>, Vec<u8>)> {
        poll_fn(|_| {
            let mut state = self.state();
            let closed = state.closed;
            match &mut state.sealed {
                Some(sealed) => {
                    Poll::Ready(Some((Arc::clone(&sealed.block), std::mem::take(&mut sealed.payload))))
                }
                None if closed => Poll::Ready(None),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// The states after and before the block, for readers; only once.
    pub(super) fn states(&self) -> Option<(StateTree, StateTree)> {
        let mut state = self.state();
        let sealed = state.sealed.as_mut()?;
        Some((std::mem::take(&mut sealed.tree), std::mem::take(&mut sealed.before)))
    }

    /// Takes the block: readers must have seen it by then, since a free stage says that everything applied is durable.
    pub(super) fn take(&self) -> Option<Sealed> {
        self.state().sealed.take()
    }

    /// Adds callers who wait for a transaction of the block; gives them back when it is not in there.
    pub(super) fn join(&self, hash: &TransactionHash, replies: Replies) -> Option<Replies> {
        let mut state = self.state();
        let Some(sealed) = &mut state.sealed else { return Some(replies) };
        let index = sealed.block.hashes.iter().position(|have| have == hash);
        match index.and_then(|index| sealed.replies.get_mut(index)) {
            Some(have) => {
                have.join(replies);
                None
            }
            None => Some(replies),
        }
    }
}

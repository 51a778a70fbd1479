//! Making blocks durable, and answering.

use std::sync::Arc;

use futures_lite::future::yield_now;
use shroud_ledger::StateTree;
use shroud_ledger::apply::AppliedBlock;
use shroud_runtime::Runtime;
use shroud_runtime::sync::channel::Sender;

use super::Failure;
use super::stage::{Sealed, Stage};
use super::store::{Committed, Obsolete};
use crate::SubmitError;
use crate::journal::Journal;
use crate::recent::inclusion;
use crate::reply::Wakes;
use crate::shared::Shared;

/// Answers, or entries of an index, between rests: about a tenth of a millisecond.
const STEP: usize = 256;

pub(super) struct Committing<'a, R: Runtime> {
    runtime: R,
    shared: &'a Shared,
    stage: &'a Stage,
    journal: Journal<R>,
    store: Sender<Committed>,
}

impl<'a, R: Runtime> Committing<'a, R> {
    pub(super) const fn new(
        runtime: R,
        shared: &'a Shared,
        stage: &'a Stage,
        journal: Journal<R>,
        store: Sender<Committed>,
    ) -> Self {
        Self { runtime, shared, stage, journal, store }
    }

    pub(super) async fn run(mut self) -> Result<(), Failure> {
        while let Some((block, payload)) = self.stage.next().await {
            let begun = self.runtime.now();
            let appended = self.journal.append(block.block.header.height, payload).await;
            // A failure of the store while the sync was in flight does not undo the sync, but nothing may follow it.
            let failure = match appended {
                Ok(()) => None,
                Err(error) => Some(self.shared.fail(&error.to_string())),
            };
            if let Some(failure) = failure {
                let Some(sealed) = self.stage.take() else { return Err(failure) };
                let mut wakes = Wakes::default();
                let refused = sealed.refused.into_iter().map(|(replies, _)| replies);
                for replies in sealed.replies.into_iter().chain(refused) {
                    replies.answer(Err(SubmitError::Failed(Arc::clone(&failure))), &mut wakes);
                }
                return Err(failure);
            }
            self.shared.metrics.sync.record_time(self.runtime.now().saturating_duration_since(begun));
            // Readers first, so that whoever is answered finds what it was answered.
            let Some((tree, before)) = self.stage.states() else { continue };
            let obsolete = self.publish(&block, tree, before).await;
            if let Some(sealed) = self.stage.take() {
                self.answer(sealed).await;
            }
            if self.store.send(Committed { block, obsolete }).await.is_err() {
                return Err(self.shared.fail("the store's task has ended"));
            }
            self.journal.retire(self.shared.synced());
        }
        Ok(())
    }

    async fn answer(&self, sealed: Sealed) {
        let Sealed { block, replies, refused, .. } = sealed;
        let mut wakes = Wakes::default();
        for (replies, error) in refused {
            replies.answer(Err(error), &mut wakes);
        }
        for (index, replies) in replies.into_iter().enumerate() {
            match inclusion(&block, index) {
                Some(inclusion) => replies.answer(Ok(inclusion), &mut wakes),
                // Never: there is a receipt for each. Dropping the replies tells the callers that something is wrong.
                None => drop(replies),
            }
            if (index + 1) % STEP == 0 {
                wakes.send();
                yield_now().await;
            }
        }
        wakes.send();
        // The stage is free: the applying side must be polled to see it.
        yield_now().await;
    }

    /// Shows the block to readers, in steps: an index over many large blocks takes its time. Gives what nobody needs any more.
    async fn publish(&self, block: &Arc<AppliedBlock>, tree: StateTree, before: StateTree) -> Obsolete {
        let shared = self.shared;
        shared.change_recent(|recent| recent.push(Arc::clone(block)));
        let height = block.block.header.height;
        for (step, hashes) in (0u32..).zip(block.hashes.chunks(STEP)) {
            if step > 0 {
                yield_now().await;
            }
            shared.change_recent(|recent| recent.index(height, step.saturating_mul(STEP as u32), hashes));
        }
        let snapshot = shared.publish(block, tree);
        let mut blocks = Vec::new();
        while let Some(old) = shared.change_recent(|recent| recent.pop(shared.stored())) {
            for (step, hashes) in old.hashes.chunks(STEP).enumerate() {
                if step > 0 || !blocks.is_empty() {
                    yield_now().await;
                }
                shared.change_recent(|recent| recent.forget(hashes));
            }
            blocks.push(old);
        }
        Obsolete { snapshot, before, blocks }
    }
}

//! The writer: one task that orders, applies and makes durable.
//!
//! Two loops take turns inside the one task, so that nothing between them crosses threads: [`apply`] makes blocks,
//! [`commit`] writes and syncs them and answers. Between them is a [`Stage`] for one block. While a block is on the stage,
//! its sync is in flight; the next block is being applied on top of it meanwhile, and stays open until the stage is free:
//! so blocks grow with the load. If a sync fails, everything after it fails too, and nothing is written ever again.

mod apply;
mod commit;
mod pace;
mod stage;
mod store;

use std::sync::Arc;

use futures_lite::future::zip;
use shroud_ledger::apply::Applier;
use shroud_runtime::Runtime;
use shroud_runtime::sync::channel;

use crate::SubmitError;
use crate::journal::Journal;
use crate::reply::Wakes;
use crate::shared::Shared;

use apply::Applying;
use commit::Committing;
use stage::Stage;

/// Why the ledger has stopped.
pub(crate) type Failure = Arc<str>;

/// Runs until the inbox is closed and drained, or something fails. At the end everything is in the store.
pub(crate) async fn run<R: Runtime>(
    runtime: R,
    shared: Arc<Shared>,
    applier: Applier,
    journal: Journal<R>,
) -> Result<(), Failure> {
    let _end = Ending(&shared);
    let stage = Stage::default();
    let (sender, receiver) = channel::bounded(shared.config.store_lag);
    let store = runtime.spawn("ledger-store", store::run(runtime.clone(), Arc::clone(&shared), receiver));
    let apply = Box::pin(Applying::new(runtime.clone(), &shared, &stage).run(applier));
    let commit = Box::pin(Committing::new(runtime.clone(), &shared, &stage, journal, sender).run());
    let (applied, committed) = zip(apply, commit).await;
    let stored = match store.await {
        Ok(stored) => stored,
        Err(error) => Err(shared.fail(&format!("the store's task has ended: {error}"))),
    };
    committed.and(applied).and(stored)
}

/// Whatever ends the writer, nobody waits in vain.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let inbox = &self.0.inbox;
        if !inbox.is_closed() {
            self.0.fail("the writer was cancelled");
        }
        let error = self.0.failure().map_or(SubmitError::Stopping, SubmitError::Failed);
        let (mut wakes, mut left) = (Wakes::default(), Vec::new());
        inbox.take(&mut left);
        for submission in left {
            submission.replies.answer(Err(error.clone()), &mut wakes);
        }
    }
}

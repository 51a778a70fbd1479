//! The handle that everyone uses.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use shroud_ledger::store::Store;
use shroud_ledger::transaction::VerifiedTransaction;
use shroud_ledger::{Genesis, Height, apply::Rejection};
use shroud_runtime::task::Class;
use shroud_runtime::{Runtime, Task};
use shroud_vm::{CodeCache, Engine};

use crate::metrics::Metrics;
use crate::open::{Recovered, recover};
use crate::reply::{Relay, Slot};
use crate::shared::{Shared, Snapshot};
use crate::submission::{ReplyTo, Submission};
use crate::writer::{self, Failure};
use crate::{Config, Inclusion, OpenError, SubmitError, lock};

/// The durable ledger. A clone is cheap; all clones are the same ledger, on any shard or thread.
///
/// When the last clone is dropped, or the task that opened it ends, the writer is cancelled: what was not answered may or may
/// not be in the journal. [`Ledger::stop`] ends it in order.
#[derive(Clone)]
pub struct Ledger<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) shared: Arc<Shared>,
    owner: Arc<Owner>,
    relay: Option<Arc<Relay>>,
}

struct Owner {
    directory: PathBuf,
    writer: Mutex<Option<Task<Result<(), Failure>>>>,
    /// The writer's shard.
    shard: usize,
}

/// The ledger did not stop in order; what it had acknowledged is safe in the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger did not stop in order: {0}")]
pub struct StopError(pub Arc<str>);

impl<R: Runtime> Ledger<R> {
    /// Opens a data directory, new or not: recovers what the journal holds beyond the store, and starts the writer as a
    /// child of the current task, on this shard.
    ///
    /// Cancel safety: may be dropped; opening again recovers.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the directory. Damage is reported, never skipped.
    pub fn open(
        runtime: R,
        directory: &Path,
        genesis: Genesis,
        store: Arc<dyn Store>,
        config: Config,
    ) -> impl Future<Output = Result<Self, OpenError>> + Send {
        async move {
            let metrics = Arc::new(Metrics::default());
            let recovered = recover(&runtime, directory, &genesis, &store, &config, &metrics).await?;
            let Recovered { applier, journal, tip, tree, stored, engine, cache } = recovered;
            let snapshot = Snapshot { tree, header: tip, hash: tip.hash() };
            let shared = Shared::new(config, genesis, metrics, (engine, cache), store, (snapshot, stored));
            let shared = Arc::new(shared);
            let run = writer::run(runtime.clone(), Arc::clone(&shared), applier, journal);
            let task = runtime.spawn_in(Class::Transaction, "ledger-writer", run);
            let owner = Owner {
                directory: directory.to_owned(),
                writer: Mutex::new(Some(task)),
                shard: runtime.shard().index,
            };
            Ok(Self { runtime, shared, owner: Arc::new(owner), relay: None })
        }
    }

    /// The same ledger for use on another shard: answers for it are handed over together, with one wake for each block. The
    /// task that does so is a child of the current one, and must outlive those that submit.
    #[must_use]
    pub fn on_shard(&self, runtime: R) -> Self {
        let shard = runtime.shard();
        let relay = (shard.count > 1 && shard.index != self.owner.shard).then(|| {
            let relay = Arc::new(Relay::default());
            runtime.spawn_in(Class::Transaction, "ledger-relay", Arc::clone(&relay).run()).detach();
            relay
        });
        Self { runtime, shared: Arc::clone(&self.shared), owner: Arc::clone(&self.owner), relay }
    }

    /// Has a transaction included. Ready when it is durable, with its receipt; submitting one that is included already gives
    /// the same receipt again. A transaction whose nonce is ahead waits for the ones before it, for a limited time.
    ///
    /// Cancel safety: dropping the future abandons the answer; the transaction may be included all the same.
    ///
    /// # Errors
    /// [`SubmitError`]. Except after [`SubmitError::Failed`], the transaction had no effect.
    pub fn submit(
        &self,
        transaction: VerifiedTransaction,
    ) -> impl Future<Output = Result<Inclusion, SubmitError>> + Send {
        async move {
            let (hash, bytes) = (transaction.hash(), transaction.bytes().len());
            let (slot, reply) = Slot::new(self.relay.clone());
            let submission = Submission::new(transaction, ReplyTo::new(slot));
            if let Err((_, error)) = self.shared.inbox.push(submission, bytes) {
                if matches!(error, SubmitError::Overloaded { .. }) {
                    self.shared.metrics.shed.add(1);
                }
                return Err(error);
            }
            let answer = reply.await;
            // It may be the very transaction that used the nonce, some time ago.
            if let Err(SubmitError::Rejected(Rejection::NonceTooLow { .. })) = &answer
                && let Ok(Some(inclusion)) = self.inclusion(hash).await
            {
                self.shared.metrics.duplicates.add(1);
                return Ok(inclusion);
            }
            answer
        }
    }

    /// The state as of the last durable block. Costs one reference count.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        #[cfg(feature = "planted-faults")]
        if shroud_planted::is_planted(shroud_planted::Fault::ReadUncommitted) {
            let durable = self.shared.snapshot();
            return Arc::new(Snapshot {
                tree: self.shared.tip(),
                header: durable.header,
                hash: durable.hash,
            });
        }
        self.shared.snapshot()
    }

    /// Waits until a block above `height` is durable. Cancel safe.
    pub fn block_after(&self, height: Height) -> impl Future<Output = ()> + Send {
        self.shared.published_after(height)
    }

    /// What the chain started with.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.shared.genesis
    }

    /// The contract engine, for view calls.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// Compiled contracts, shared with the writer.
    #[must_use]
    pub fn code_cache(&self) -> &CodeCache {
        &self.shared.cache
    }

    /// What the ledger counts about itself.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Appends all metrics in Prometheus' text format.
    pub fn render_metrics(&self, out: &mut String) {
        self.shared.metrics.render(self.shared.inbox.len(), out);
    }

    /// Why the ledger takes no more transactions, if it has failed.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<str>> {
        self.shared.failure()
    }

    /// Waits until the ledger takes no more transactions because it has failed; [`Ledger::failure`] says why.
    ///
    /// Cancel safety: cancel safe.
    pub async fn failed(&self) {
        self.shared.failed().await;
    }

    /// Stops in order: takes no more transactions, answers those it has, and makes everything durable in the store. Of several
    /// calls the first does it all; the others return at once.
    ///
    /// Cancel safety: not cancel safe; a dropped stop is an abrupt one, like [`Ledger::abort`].
    ///
    /// # Errors
    /// [`StopError`] when the ledger had failed before, or fails now.
    pub fn stop(&self) -> impl Future<Output = Result<(), StopError>> + Send {
        async move {
            self.shared.inbox.close();
            let Some(task) = self.take_writer() else { return Ok(()) };
            let ended = match task.await {
                Ok(ended) => ended,
                Err(error) => Err(self.shared.fail(&format!("the writer's task has ended: {error}"))),
            };
            if let Err(error) = lock::release(&self.runtime, &self.owner.directory).await {
                tracing::warn!(%error, "cannot remove the mark on the data directory");
            }
            ended.map_err(StopError)
        }
    }

    /// Stops at once, as a crash would: what was not answered may or may not be in the journal.
    pub fn abort(&self) -> impl Future<Output = ()> + Send {
        async move {
            if let Some(task) = self.take_writer() {
                // Cancelled on purpose: the error says nothing else.
                let _cancelled = task.cancel().await;
            }
        }
    }

    fn take_writer(&self) -> Option<Task<Result<(), Failure>>> {
        self.owner.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<R: Runtime> std::fmt::Debug for Ledger<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let height = self.snapshot().header.height;
        f.debug_struct("Ledger").field("directory", &self.owner.directory).field("height", &height).finish()
    }
}

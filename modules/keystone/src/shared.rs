//! What the ledger's tasks and all its handles share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shroud_ledger::apply::AppliedBlock;
use shroud_ledger::block::BlockHeader;
use shroud_ledger::store::Store;
use shroud_ledger::{BlockHash, Genesis, Height, StateTree};
use shroud_runtime::CancellationToken;
use shroud_runtime::sync::Event;
use shroud_vm::{CodeCache, Engine};

use crate::Config;
use crate::inbox::Inbox;
use crate::metrics::Metrics;
use crate::recent::Recent;
use crate::submission::Submission;

/// The state as of a durable block.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// All entries.
    pub tree: StateTree,
    /// The block's header.
    pub header: BlockHeader,
    /// The block's hash.
    pub hash: BlockHash,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) genesis: Genesis,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) engine: Engine,
    pub(crate) cache: CodeCache,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) inbox: Inbox<Submission>,
    durable: Mutex<Arc<Snapshot>>,
    /// The state after the last block that was applied, durable or not.
    tip: Mutex<StateTree>,
    recent: Mutex<Recent>,
    /// The height up to which the store has everything.
    stored: AtomicU64,
    /// The height up to which the store has made everything durable.
    synced: AtomicU64,
    failure: Mutex<Option<Arc<str>>>,
    /// Cancelled when `failure` is set.
    failed: CancellationToken,
    /// A block became durable.
    published: Event,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        genesis: Genesis,
        metrics: Arc<Metrics>,
        (engine, cache): (Engine, CodeCache),
        store: Arc<dyn Store>,
        (snapshot, stored): (Snapshot, Height),
    ) -> Self {
        let inbox = Inbox::new(config.queue_transactions, config.queue_bytes);
        let recent = Mutex::new(Recent::new(config.recent_blocks, config.recent_bytes));
        metrics.height.set(snapshot.header.height.0);
        metrics.store_height.set(stored.0);
        Self {
            config,
            genesis,
            metrics,
            engine,
            cache,
            store,
            inbox,
            tip: Mutex::new(snapshot.tree.clone()),
            durable: Mutex::new(Arc::new(snapshot)),
            recent,
            stored: AtomicU64::new(stored.0),
            synced: AtomicU64::new(stored.0),
            failure: Mutex::new(None),
            failed: CancellationToken::new(),
            published: Event::new(),
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&lock(&self.durable))
    }

    pub(crate) fn tip(&self) -> StateTree {
        lock(&self.tip).clone()
    }

    /// Gives back the state before. Drop it where it may take its time: it may be the last to hold a large part of a tree.
    #[must_use]
    pub(crate) fn set_tip(&self, tree: StateTree) -> StateTree {
        std::mem::replace(&mut *lock(&self.tip), tree)
    }

    /// Shows a durable block's state to readers. Gives back the state before, as [`Shared::set_tip`] does.
    #[must_use]
    pub(crate) fn publish(&self, block: &AppliedBlock, tree: StateTree) -> Arc<Snapshot> {
        let header = block.block.header;
        let snapshot = Arc::new(Snapshot { tree, header, hash: block.hash });
        let before = std::mem::replace(&mut *lock(&self.durable), snapshot);
        self.metrics.blocks.add(1);
        self.metrics.transactions.add(header.count.into());
        self.metrics.height.set(header.height.0);
        self.published.notify(usize::MAX);
        before
    }

    /// Waits until a block above `height` is durable. Cancel safe.
    pub(crate) async fn published_after(&self, height: Height) {
        while self.snapshot().header.height <= height {
            let published = self.published.listen();
            if self.snapshot().header.height <= height {
                published.await;
            }
        }
    }

    pub(crate) fn change_recent<T>(&self, change: impl FnOnce(&mut Recent) -> T) -> T {
        change(&mut lock(&self.recent))
    }

    pub(crate) fn recent<T>(&self, look: impl FnOnce(&Recent) -> T) -> T {
        look(&lock(&self.recent))
    }

    pub(crate) fn stored(&self) -> Height {
        Height(self.stored.load(Ordering::Acquire))
    }

    pub(crate) fn set_stored(&self, height: Height) {
        self.stored.store(height.0, Ordering::Release);
        self.metrics.store_height.set(height.0);
    }

    pub(crate) fn synced(&self) -> Height {
        Height(self.synced.load(Ordering::Acquire))
    }

    pub(crate) fn set_synced(&self, height: Height) {
        self.synced.store(height.0, Ordering::Release);
    }

    /// Stops all writing for good. The first reason stays.
    pub(crate) fn fail(&self, reason: &str) -> Arc<str> {
        let (reason, first) = {
            let mut failure = lock(&self.failure);
            let first = failure.is_none();
            (Arc::clone(failure.get_or_insert_with(|| reason.into())), first)
        };
        self.inbox.fail(Arc::clone(&reason));
        self.failed.cancel();
        // Last: what writes the log may fail for the same reason, and panic.
        if first {
            tracing::error!(%reason, "the ledger has stopped");
        }
        reason
    }

    /// Waits until all writing has been stopped. Cancel safe.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        lock(&self.failure).clone()
    }
}

//! Writing blocks behind to the store.

use std::sync::Arc;

use shroud_ledger::StateTree;
use shroud_ledger::apply::AppliedBlock;
use shroud_ledger::store::{StoreError, WriteBatch};
use shroud_runtime::Runtime;
use shroud_runtime::sync::channel;

use super::Failure;
use crate::shared::{Shared, Snapshot};

/// Blocks written at once: what gathers during one write.
const MAX_BATCH: usize = 64;
/// Blocks after which the store is told to make all durable. Until it does, the journal keeps them.
const SYNC_BLOCKS: u64 = 1024;
/// Bytes of blocks after which the store is told so.
const SYNC_BYTES: usize = 32 << 20;

/// A durable block for the store.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) block: Arc<AppliedBlock>,
    pub(super) obsolete: Obsolete,
}

/// What only takes up memory since a block has become durable. To free a large one takes milliseconds, so it goes with the next
/// write to the store, on a blocking thread.
#[derive(Debug)]
#[expect(dead_code, reason = "it is only held until it is dropped")]
pub(super) struct Obsolete {
    /// The state that readers saw before.
    pub(super) snapshot: Arc<Snapshot>,
    /// The state before the block.
    pub(super) before: StateTree,
    /// Blocks that are no longer kept in memory.
    pub(super) blocks: Vec<Arc<AppliedBlock>>,
}

/// Writes what arrives until the channel is closed; then everything is durable in the store.
pub(super) async fn run<R: Runtime>(
    runtime: R,
    shared: Arc<Shared>,
    blocks: channel::Receiver<Committed>,
) -> Result<(), Failure> {
    let mut unsynced_bytes = 0usize;
    while let Ok(first) = blocks.recv().await {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH
            && let Ok(next) = blocks.try_recv()
        {
            batch.push(next);
        }
        let (batch, obsolete): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|committed| (committed.block, committed.obsolete)).unzip();
        let bytes = batch.iter().flat_map(|block| &block.block.transactions).map(|bytes| bytes.len()).sum();
        unsynced_bytes = unsynced_bytes.saturating_add(bytes);
        let batch = WriteBatch::blocks(batch);
        let height = batch.height;
        let sync = unsynced_bytes >= SYNC_BYTES || height.0.saturating_sub(shared.synced().0) >= SYNC_BLOCKS;
        write(&runtime, &shared, Some((batch, obsolete)), sync).await?;
        shared.set_stored(height);
        if sync {
            shared.set_synced(height);
            unsynced_bytes = 0;
        }
    }
    write(&runtime, &shared, None, true).await?;
    shared.set_synced(shared.stored());
    Ok(())
}

async fn write<R: Runtime>(
    runtime: &R,
    shared: &Shared,
    batch: Option<(WriteBatch, Vec<Obsolete>)>,
    sync: bool,
) -> Result<(), Failure> {
    let store = Arc::clone(&shared.store);
    let job = move || -> Result<(), StoreError> {
        if let Some((batch, _obsolete)) = batch {
            store.write(&batch)?;
        }
        if sync { store.sync() } else { Ok(()) }
    };
    match runtime.offload(job).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(shared.fail(&error.to_string())),
        Err(lost) => Err(shared.fail(&format!("the store's write was lost: {lost}"))),
    }
}

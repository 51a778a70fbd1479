//! Recovery: from a data directory to a running ledger.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shroud_ledger::apply::{AppliedBlock, Applier};
use shroud_ledger::block::{Block, BlockHeader};
use shroud_ledger::journal::Record;
use shroud_ledger::replay::{ReplayError, replay};
use shroud_ledger::store::{Store, StoreError, WriteBatch, load};
use shroud_ledger::{BlockHash, CodecError, Genesis, Height, StateTree};
use shroud_runtime::{Lost, Runtime};
use shroud_vm::{CodeCache, Engine};

use crate::config::ConfigError;
use crate::journal::{Journal, JournalError, JournalOptions, Scan};
use crate::metrics::Metrics;
use crate::{Config, lock};

/// Blocks replayed before they are written to the store together.
const REPLAY_BATCH: usize = 64;
/// Modules that the code cache holds at most.
const MAX_MODULES: usize = 1024;

/// Why a data directory cannot be opened. Nothing was changed, unless replayed blocks were written to the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file system refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another node uses the directory.
    #[error("the data directory {directory} is in use by process {process}", directory = directory.display())]
    InUse {
        /// Which.
        directory: PathBuf,
        /// By whom.
        process: u32,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has blocks that the journal does not.
    #[error(
        "the store is at height {store}, but the journal ends at {journal}, in segment {segment} at offset {offset}: later records were lost or removed"
    )]
    StoreAhead {
        /// The store's height.
        store: Height,
        /// The journal's last.
        journal: Height,
        /// The segment that it ends in.
        segment: u64,
        /// Where.
        offset: u64,
    },
    /// The journal begins after what the store has.
    #[error(
        "the journal begins at height {journal}, but the store is at {store}: earlier journal files or the store were removed"
    )]
    Gap {
        /// The store's height.
        store: Height,
        /// The journal's first.
        journal: Height,
    },
    /// The store says it has a block that it does not have.
    #[error("the store is at height {height}, but has no block of it")]
    NoTip {
        /// Which.
        height: Height,
    },
    /// The store's state is not the one that its last block commits to.
    #[error(
        "the store's state does not match the commitment of its block {height}: remove the store to rebuild it"
    )]
    Commitment {
        /// Which block.
        height: Height,
    },
    /// Journal and store have different blocks of one height.
    #[error("the journal's block {height} is {journal}, the store's is {store}")]
    Forked {
        /// At which height.
        height: Height,
        /// The journal's.
        journal: BlockHash,
        /// The store's.
        store: BlockHash,
    },
    /// A record holds no block.
    #[error("the journal's record of height {height} holds no block: {error}")]
    Block {
        /// Which.
        height: Height,
        /// Why.
        error: CodecError,
    },
    /// A block cannot be applied again.
    #[error("replay failed: {0}")]
    Replay(#[from] ReplayError),
    /// A job was lost.
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// A ledger that was recovered and not yet started.
pub(crate) struct Recovered<R: Runtime> {
    pub(crate) applier: Applier,
    pub(crate) journal: Journal<R>,
    pub(crate) tip: BlockHeader,
    pub(crate) tree: StateTree,
    pub(crate) stored: Height,
    pub(crate) engine: Engine,
    pub(crate) cache: CodeCache,
}

pub(crate) async fn recover<R: Runtime>(
    runtime: &R,
    directory: &Path,
    genesis: &Genesis,
    store: &Arc<dyn Store>,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<Recovered<R>, OpenError> {
    config.validate()?;
    let options = JournalOptions {
        directory: directory.join("journal"),
        genesis: genesis.hash(),
        segment_bytes: config.segment_bytes,
        keep: config.keep_segments,
    };
    let create = OpenError::io("create", &options.directory);
    runtime.create_dir_all(&options.directory).await.map_err(create)?;
    anchor(runtime, &options.directory).await?;
    lock::acquire(runtime, directory).await?;
    let scan = Scan::new(runtime.clone(), options.clone()).await?;
    let (tip, tree, is_new) = load_state(runtime, genesis, store).await?;
    let (engine, cache) = (Engine::new(), CodeCache::new(MAX_MODULES, config.code_cache_bytes));
    let applier = Applier::new(*genesis.parameters(), engine.clone(), cache.clone(), tree, tip);
    let (applier, journal) = match scan {
        None if tip.height.0 > 0 => {
            let journal = Height(0);
            return Err(OpenError::StoreAhead { store: tip.height, journal, segment: 0, offset: 0 });
        }
        None => {
            write_genesis(runtime, genesis, store, is_new).await?;
            (applier, Journal::create(runtime.clone(), options, Arc::clone(metrics)).await?)
        }
        Some(mut scan) => {
            let first = scan.next_height();
            if first > tip.height.next() {
                return Err(OpenError::Gap { store: tip.height, journal: first });
            }
            write_genesis(runtime, genesis, store, is_new).await?;
            let mut replaying = Replaying { runtime, store, behind: Vec::new() };
            let applier = replaying.run(&mut scan, applier).await?;
            let journal = scan.next_height();
            if journal <= tip.height {
                let (store, journal) = (tip.height, Height(journal.0.saturating_sub(1)));
                let (segment, offset) = scan.place();
                return Err(OpenError::StoreAhead { store, journal, segment, offset });
            }
            let journal = match scan.end() {
                Some(end) => Journal::resume(runtime.clone(), options, Arc::clone(metrics), end).await?,
                None => Journal::create(runtime.clone(), options, Arc::clone(metrics)).await?,
            };
            replaying.flush().await?;
            (applier, journal)
        }
    };
    let (tip, tree) = (*applier.tip(), applier.tree().clone());
    Ok(Recovered { applier, journal, tip, tree, stored: tip.height, engine, cache })
}

/// Makes the names durable that lead to the journal's files: without them a power failure may take all of it. Done at every
/// start, since an earlier run may have ended, or its sync failed, between making a name and syncing it.
async fn anchor<R: Runtime>(runtime: &R, directory: &Path) -> Result<(), OpenError> {
    #[cfg(feature = "planted-faults")]
    if shroud_planted::is_planted(shroud_planted::Fault::ForgetDirectories) {
        return Ok(());
    }
    for above in directory.ancestors().take(2) {
        runtime.sync_dir(above).await.map_err(OpenError::io("sync", above))?;
    }
    for above in directory.ancestors().skip(2) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match runtime.sync_dir(above).await {
            // Somebody else's directory, or one that cannot be synced: this node has made nothing in it.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) =>
            {
                break;
            }
            synced => synced.map_err(OpenError::io("sync", above))?,
        }
    }
    Ok(())
}

/// The store's tip and state; the genesis ones, and true, when the store is new.
async fn load_state<R: Runtime>(
    runtime: &R,
    genesis: &Genesis,
    store: &Arc<dyn Store>,
) -> Result<(BlockHeader, StateTree, bool), OpenError> {
    let (genesis, store) = (genesis.clone(), Arc::clone(store));
    let job = move || -> Result<_, OpenError> {
        let Some((height, tree)) = load(&*store, &genesis)? else {
            return Ok((*genesis.header(), genesis.tree().clone(), true));
        };
        let tip = match height {
            Height(0) => *genesis.header(),
            height => store.block(height)?.ok_or(OpenError::NoTip { height })?.header,
        };
        if tree.root() != tip.state_root {
            return Err(OpenError::Commitment { height });
        }
        Ok((tip, tree, false))
    };
    runtime.offload(job).await?
}

async fn write_genesis<R: Runtime>(
    runtime: &R,
    genesis: &Genesis,
    store: &Arc<dyn Store>,
    is_new: bool,
) -> Result<(), OpenError> {
    if !is_new {
        return Ok(());
    }
    let (genesis, store) = (genesis.clone(), Arc::clone(store));
    let job = move || store.write(&WriteBatch::genesis(&genesis)).and_then(|()| store.sync());
    Ok(runtime.offload(job).await??)
}

struct Replaying<'a, R> {
    runtime: &'a R,
    store: &'a Arc<dyn Store>,
    /// Blocks that the store does not have yet.
    behind: Vec<Arc<AppliedBlock>>,
}

impl<R: Runtime> Replaying<'_, R> {
    /// Applies all records after the applier's tip. The last one is left behind: the journal's own sync comes before the
    /// store's.
    async fn run(&mut self, scan: &mut Scan<R>, mut applier: Applier) -> Result<Applier, OpenError> {
        let mut replayed = 0u64;
        while let Some(record) = scan.next().await? {
            let tip = *applier.tip();
            if record.height < tip.height {
                continue;
            }
            let block = decode(&record)?;
            if record.height == tip.height {
                let (journal, store) = (block.header.hash(), tip.hash());
                if journal != store {
                    return Err(OpenError::Forked { height: tip.height, journal, store });
                }
                continue;
            }
            let mut seed = [0; 32];
            self.runtime.fill(&mut seed);
            let job = move || {
                let replayed = replay(&mut applier, &block, &seed);
                (applier, replayed)
            };
            let (returned, applied) = self.runtime.offload(job).await?;
            applier = returned;
            self.behind.push(Arc::new(applied?));
            replayed += 1;
            if self.behind.len() > REPLAY_BATCH {
                let last = self.behind.pop();
                self.flush().await?;
                self.behind.extend(last);
            }
        }
        if replayed > 0 {
            tracing::info!(blocks = replayed, height = applier.tip().height.0, "replayed the journal");
        }
        Ok(applier)
    }

    async fn flush(&mut self) -> Result<(), OpenError> {
        if self.behind.is_empty() {
            return Ok(());
        }
        let batch = WriteBatch::blocks(std::mem::take(&mut self.behind));
        let store = Arc::clone(self.store);
        Ok(self.runtime.offload(move || store.write(&batch).and_then(|()| store.sync())).await??)
    }
}

pub(crate) fn decode(record: &Record) -> Result<Block, OpenError> {
    let height = record.height;
    let block = Block::decode(&record.payload).map_err(|error| OpenError::Block { height, error })?;
    if block.header.height != height {
        return Err(ReplayError::Height {
            stated: block.header.height,
            tip: Height(height.0.saturating_sub(1)),
        }
        .into());
    }
    Ok(block)
}

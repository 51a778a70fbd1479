//! The store of a simulated node: a log on its host's disk.

use shroud_ledger::store::{Store, StoreError};
use shroud_sim::BlockingDisk;
use shroud_store_sim::LogStore;
use std::path::Path;
use std::sync::Arc;

/// Opens the store in a directory of a host's disk.
///
/// # Errors
/// [`StoreError`].
pub fn open(disk: BlockingDisk, directory: &Path) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(LogStore::open(disk, directory)?))
}

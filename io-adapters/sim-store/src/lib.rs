//! The ledger's store for the simulator: a log of checksummed batches on plain files, with an index in memory.
//!
//! fjall has threads and files of its own, which no seed rules. [`LogStore`] keeps the same promises over [`Files`], whose
//! verbs a simulated disk answers ([`DiskFiles`]) with all its faults; a differential test holds the two against each other.
//!
//! What it promises beyond the `Store` trait: after any crash it is a whole earlier state, not older than the last sync that
//! returned. Whatever else the disk has done to it, it says [`StoreError::Damaged`] with the file and offset, or the disk's
//! own error, and never gives a wrong answer. After an error of a write or sync it takes nothing more until it is opened anew.
//!
//! [`StoreError::Damaged`]: shroud_ledger::store::StoreError::Damaged
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod blocking;
mod entries;
mod files;
mod log;
mod store;

pub use files::{DiskFiles, Files};
pub use store::{LogStore, SimStore};

//! A simulated disk with its file system, as a machine: no clock and no chance of its own.
//!
//! Data and names are in three states. *Written*: every reader sees it (the page cache). *Synced*: a sync has returned.
//! *Durable*: a crash of the machine leaves it. What is synced is durable; what is only written may be.
//!
//! # What a crash leaves
//! [`Disk::crash`] keeps what a file system may keep at worst, within POSIX and what ext4 and XFS do:
//! - **Data** that was not synced survives by sectors of 512 bytes, each by itself: torn writes, and later writes without
//!   earlier ones. A sector that survives is one that the page cache had at some time since the last sync; it is never mixed.
//! - **Lengths** (extending writes, truncation, allocation) survive in order, as file systems journal them; data behind the
//!   length is gone, and a length without its data reads as zeros, never as another file's bytes.
//! - **Names** (creation, rename, removal) are apart from data: a synced file whose creation was not synced by
//!   [`Disk::sync_dir`] may be gone, a name may survive without its data, and a file that was removed may be back. Of each
//!   directory a prefix of its changes survives; a rename is there as a whole or not at all, also between two directories.
//!   ext4 and XFS order the changes of all directories, and make names durable with other syncs: nothing here relies on that.
//!
//! [`Disk::kill`] is the crash of a process alone: the page cache stays.
//!
//! # What goes wrong
//! [`DiskFaults`] is the plan: latency, stalls, a capacity, errors of reads and writes, failed and lying syncs, misdirected
//! writes; [`Disk::rot`] turns bits over. [`Atlas`] says which of them a node must survive, and how.
//!
//! A sync that fails loses what was written: as on Linux, readers still see the data, the next sync succeeds, and after a
//! crash the data is gone. Written again and synced, it is durable.

mod atlas;
mod content;
mod crash;
mod errno;
mod faults;
mod file;
mod latency;
mod machine;
mod namespace;
mod ranges;

pub use atlas::{Atlas, AtlasEntry, Claim, Hazard};
pub use content::{PAGE_BYTES, SECTOR_BYTES};
pub use crash::CrashReport;
pub use faults::{DiskFaults, Fault, FaultKind, Place};
pub use latency::{Latencies, Latency, Verb};
pub use machine::{Disk, FileHandle, MAX_FILE_BYTES, SyncTicket, Timed};

#[cfg(test)]
mod tests;

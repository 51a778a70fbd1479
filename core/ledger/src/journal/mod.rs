//! The journal's format: segments of records, one record for each block.
//!
//! A segment is a file of fixed length, preallocated with zeros or recycled. It begins with a [`SegmentHeader`] of
//! [`HEADER_BYTES`]; records follow, each at a multiple of [`ALIGNMENT`] and padded with zeros. A record carries its length, a
//! CRC-32C of all that follows, one of its header alone, the segment's salt, the block's height and the BLAKE3 hash of the
//! record before it, which may be in the segment before; each of its sectors ends in a mark that is not zero.
//!
//! Exactly one record is written at a time: the next one after the sync of the one before has returned. So a crash can leave one
//! torn record, at the end. [`SegmentReader`] tells that from damage: if any valid record of this segment follows a bad one, the
//! bad one was synced, and something has destroyed it since. The salt, fresh for each use of a file, tells the segment's
//! records from those of the file's former use, and from bytes inside transactions that only look like a record.
//!
//! A segment in a new file says so in its header. There a torn record leaves each sector new or zero, or is new up to a point and
//! zero behind it: some sector lacks its mark. A last record that is neither whole nor torn in this way was changed later, and is
//! damage as well. What a torn one leaves is wiped before the next one is written. In a recycled file the remains of its former
//! use look like anything: a last record that was changed cannot be told from a torn one. So it is in segments of older versions,
//! whose sectors have no marks, where the last record ends in a zero byte or has a sector of zeros.
//!
//! A segment's header is written and synced when the last record of the segment before is durable, and before the file takes the
//! name of its number: a file under its name with another segment's header is damage.

mod header;
mod reader;
mod record;
mod writer;

pub use header::{HEADER_BYTES, SegmentHeader, SegmentHeaderError};
pub use reader::{Damage, End, Output, Reason, SegmentReader};
pub use record::{ALIGNMENT, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES, Record};
pub use writer::{SegmentWriter, WriteError};

use shroud_crypto::Hash;

use crate::Height;

/// The length of a segment that nodes use: some hundred blocks under full load, preallocated in a moment.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Where a chain of records stands: what the next record must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The next record's height.
    pub next: Height,
    /// The last record's hash.
    pub previous: Hash,
}

impl Link {
    /// Before the first record of a chain: height 1 follows, and the genesis hash stands in for a record.
    pub const fn genesis(genesis: Hash) -> Self {
        Self { next: Height(1), previous: genesis }
    }
}

#[cfg(test)]
mod tests;

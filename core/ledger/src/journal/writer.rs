//! Making the bytes of records, one after the other.

use super::record::{self, MAX_PAYLOAD_BYTES};
use super::{HEADER_BYTES, Link, SegmentHeader};
use crate::Height;

/// Where a segment's next record goes and what it must say.
#[derive(Clone, Copy, Debug)]
pub struct SegmentWriter {
    salt: u64,
    sealed: bool,
    offset: u64,
    length: u64,
    link: Link,
}

/// Why a record cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The segment has no room: begin the next one with [`SegmentWriter::link`].
    #[error("the record does not fit the segment")]
    SegmentFull,
    /// The payload is larger than any block.
    #[error("the record's payload has {bytes} bytes; at most {MAX_PAYLOAD_BYTES} are allowed")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Records go in the order of heights.
    #[error("the record is of height {stated}, the next is {expected}")]
    Height {
        /// The record's.
        stated: Height,
        /// The next one's.
        expected: Height,
    },
}

impl SegmentWriter {
    /// Begins a segment of `length` bytes. The header must be written and synced before any record.
    pub const fn new(header: &SegmentHeader, length: u64) -> Self {
        Self {
            salt: header.salt,
            sealed: header.sealed,
            offset: HEADER_BYTES as u64,
            length,
            link: header.link,
        }
    }

    /// Goes on in a segment at `offset`, where its reader ended, with `link` from there.
    pub const fn resume(header: &SegmentHeader, length: u64, offset: u64, link: Link) -> Self {
        Self { salt: header.salt, sealed: header.sealed, offset, length, link }
    }

    /// The bytes of the next record and where they go. A multiple of the alignment in both.
    ///
    /// Write the record after this one only when the sync of this one has returned: see the module's documentation.
    pub fn append(&mut self, height: Height, payload: &[u8]) -> Result<(u64, Vec<u8>), WriteError> {
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(WriteError::TooLarge { bytes: payload.len() });
        }
        if height != self.link.next {
            return Err(WriteError::Height { stated: height, expected: self.link.next });
        }
        let end = self.offset.saturating_add(record::total_bytes(payload.len(), self.sealed) as u64);
        if end > self.length {
            return Err(WriteError::SegmentFull);
        }
        let (bytes, hash) = record::encode(self.salt, self.sealed, height, &self.link.previous, payload);
        let offset = std::mem::replace(&mut self.offset, end);
        self.link = Link { next: height.next(), previous: hash };
        Ok((offset, bytes))
    }

    /// What the next record must say, here or in the next segment's header.
    pub const fn link(&self) -> Link {
        self.link
    }

    /// Where the next record goes.
    pub const fn offset(&self) -> u64 {
        self.offset
    }
}

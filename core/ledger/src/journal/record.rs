//! One record: a header of its own, the payload, zeros up to the alignment.
//!
//! A sealed record's header has a checksum of its own, and each of its sectors ends in a [`MARK`], so that header and payload
//! have [`SECTOR_CONTENT_BYTES`] of each. Its CRC and its hash are of the sectors as they are written.

use shroud_crypto::Hash;

use crate::Height;
use crate::block::MAX_BLOCK_BYTES;
use crate::codec::{Reader, Writer as _};

/// What records begin at a multiple of, and are padded to: a disk's sector, the unit that is written whole.
pub const ALIGNMENT: usize = 512;
/// Bytes before the payload.
pub const RECORD_HEADER_BYTES: usize = 64;
/// The most bytes of a payload: a block.
pub const MAX_PAYLOAD_BYTES: usize = MAX_BLOCK_BYTES;

const MAGIC: [u8; 4] = *b"SREC";
/// Magic number and CRC: what the CRC does not cover.
const UNCOVERED_BYTES: usize = 8;
/// What ends each sector of a sealed record. A sector without was not written to its end.
const MARK: u8 = 0xff;
/// What a sector of a sealed record holds beside its mark.
const SECTOR_CONTENT_BYTES: usize = ALIGNMENT - 1;
/// Where the header's own checksum stands.
const SEAL: std::ops::Range<usize> = 12..16;

/// A record that was found valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The block's height.
    pub height: Height,
    /// Where in the segment it begins.
    pub offset: u64,
    /// Bytes that it takes there, its header and padding included.
    pub bytes: usize,
    /// Its hash, which the next record names.
    pub hash: Hash,
    /// The block's encoding.
    pub payload: Vec<u8>,
}

/// A record's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordHeader {
    crc: u32,
    sealed: bool,
    pub(super) length: usize,
    pub(super) salt: u64,
    pub(super) height: Height,
    pub(super) previous: Hash,
}

impl RecordHeader {
    /// Reads the header of a record of a segment whose records are `sealed`, or are not, without checking the record's CRC.
    /// `None`: there is none, or it was altered.
    pub(super) fn decode(bytes: &[u8], sealed: bool) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.array("magic").ok()? != MAGIC {
            return None;
        }
        let crc = reader.u32("crc").ok()?;
        let length = reader.u32("length").ok()? as usize;
        let seal = reader.u32("the header's checksum").ok()?;
        let salt = reader.u64("salt").ok()?;
        let height = Height(reader.u64("height").ok()?);
        let previous = reader.hash("previous").ok()?;
        let expected = if sealed { self::seal(bytes)? } else { 0 };
        (length <= MAX_PAYLOAD_BYTES && seal == expected).then_some(Self {
            crc,
            sealed,
            length,
            salt,
            height,
            previous,
        })
    }

    /// Bytes of the record with its padding.
    pub(super) const fn total_bytes(&self) -> usize {
        total_bytes(self.length, self.sealed)
    }

    /// Whether `bytes`, which begin with this header and are as long as the record, are what was written.
    pub(super) fn matches(&self, bytes: &[u8]) -> bool {
        #[cfg(feature = "planted-faults")]
        if shroud_planted::is_planted(shroud_planted::Fault::SkipTornTailCheck) {
            return true;
        }
        let (end, total) = (self.covered_bytes(), self.total_bytes());
        match (bytes.get(UNCOVERED_BYTES..end), bytes.get(end..total)) {
            (Some(covered), Some(padding)) => {
                crc32c::crc32c(covered) == self.crc && padding.iter().all(|byte| *byte == 0)
            }
            _ => false,
        }
    }

    /// The hash of a valid record, given all its bytes.
    pub(super) fn hash(&self, bytes: &[u8]) -> Hash {
        bytes.get(..self.covered_bytes()).map_or(Hash::ZERO, shroud_crypto::blake3)
    }

    /// The payload of a valid record, given all its bytes.
    pub(super) fn payload(&self, bytes: &[u8]) -> Vec<u8> {
        let end = RECORD_HEADER_BYTES.saturating_add(self.length);
        if !self.sealed {
            return bytes.get(RECORD_HEADER_BYTES..end).unwrap_or_default().to_vec();
        }
        let bytes = bytes.get(..self.total_bytes()).unwrap_or(bytes);
        let mut payload = Vec::with_capacity(bytes.len());
        let mut header = RECORD_HEADER_BYTES;
        for sector in bytes.chunks(ALIGNMENT) {
            payload.extend_from_slice(sector.get(header..SECTOR_CONTENT_BYTES).unwrap_or_default());
            header = 0;
        }
        payload.truncate(self.length);
        payload
    }

    /// What CRC and hash are of.
    const fn covered_bytes(&self) -> usize {
        if self.sealed { self.total_bytes() } else { RECORD_HEADER_BYTES.saturating_add(self.length) }
    }
}

/// Whether a sector of a sealed record was written to its end.
pub(super) fn is_marked(sector: &[u8]) -> bool {
    // A mark that was altered is one still.
    sector.len() == ALIGNMENT && sector.last() != Some(&0)
}

/// Bytes of a record with a payload of `length` bytes, its header and padding included.
pub(super) const fn total_bytes(length: usize, sealed: bool) -> usize {
    let bytes = RECORD_HEADER_BYTES.saturating_add(length);
    if sealed {
        bytes.div_ceil(SECTOR_CONTENT_BYTES).saturating_mul(ALIGNMENT)
    } else {
        bytes.next_multiple_of(ALIGNMENT)
    }
}

/// The checksum of a header's other fields, without the record's CRC. `None`: it is too short.
fn seal(bytes: &[u8]) -> Option<u32> {
    let (length, rest) = (bytes.get(UNCOVERED_BYTES..SEAL.start)?, bytes.get(SEAL.end..RECORD_HEADER_BYTES)?);
    Some(crc32c::crc32c_append(crc32c::crc32c(length), rest))
}

/// A record's bytes with padding, and its hash. `sealed`: as segments of this version want it.
pub(super) fn encode(
    salt: u64,
    sealed: bool,
    height: Height,
    previous: &Hash,
    payload: &[u8],
) -> (Vec<u8>, Hash) {
    debug_assert!(payload.len() <= MAX_PAYLOAD_BYTES);
    let total = total_bytes(payload.len(), sealed);
    let mut bytes = Vec::with_capacity(total);
    bytes.put(&MAGIC);
    bytes.put_u32(0);
    bytes.put_count(payload.len());
    bytes.put_u32(0);
    bytes.put_u64(salt);
    bytes.put_u64(height.0);
    bytes.put(&previous.0);
    debug_assert_eq!(bytes.len(), RECORD_HEADER_BYTES);
    if sealed {
        let checksum = seal(&bytes).unwrap_or_default();
        if let Some(slot) = bytes.get_mut(SEAL) {
            slot.copy_from_slice(&checksum.to_le_bytes());
        }
        let (first, rest) = payload.split_at(payload.len().min(SECTOR_CONTENT_BYTES - RECORD_HEADER_BYTES));
        for part in std::iter::once(first).chain(rest.chunks(SECTOR_CONTENT_BYTES)) {
            bytes.put(part);
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT) - 1, 0);
            bytes.push(MARK);
        }
    } else {
        bytes.put(payload);
    }
    let crc = bytes.get(UNCOVERED_BYTES..).map_or(0, crc32c::crc32c);
    if let Some(slot) = bytes.get_mut(4..UNCOVERED_BYTES) {
        slot.copy_from_slice(&crc.to_le_bytes());
    }
    let hash = shroud_crypto::blake3(&bytes);
    bytes.resize(total, 0);
    (bytes, hash)
}

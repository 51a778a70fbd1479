//! One record: a header of its own, the payload, zeros up to the alignment.

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
/// Where the header's own checksum stands.
const SEAL: std::ops::Range<usize> = 12..16;

/// A record that was found valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The block's height.
    pub height: Height,
    /// Where in the segment it begins.
    pub offset: u64,
    /// Its hash, which the next record names.
    pub hash: Hash,
    /// The block's encoding.
    pub payload: Vec<u8>,
}

/// A record's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordHeader {
    crc: u32,
    /// Whether the header has a checksum of its own, which says that its length can be believed.
    pub(super) sealed: bool,
    pub(super) length: usize,
    pub(super) salt: u64,
    pub(super) height: Height,
    pub(super) previous: Hash,
}

impl RecordHeader {
    /// Reads a header without checking the record's CRC. `None`: there is none, or it was altered.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
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
        let sealed = seal == self::seal(bytes)?;
        (length <= MAX_PAYLOAD_BYTES && (sealed || seal == 0)).then_some(Self {
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
        total_bytes(self.length)
    }

    /// Whether `bytes`, which begin with this header and are as long as the record, are what was written.
    pub(super) fn matches(&self, bytes: &[u8]) -> bool {
        #[cfg(feature = "planted-faults")]
        if shroud_planted::is_planted(shroud_planted::Fault::SkipTornTailCheck) {
            return true;
        }
        let end = RECORD_HEADER_BYTES.saturating_add(self.length);
        match (bytes.get(UNCOVERED_BYTES..end), bytes.get(end..self.total_bytes())) {
            (Some(covered), Some(padding)) => {
                crc32c::crc32c(covered) == self.crc && padding.iter().all(|byte| *byte == 0)
            }
            _ => false,
        }
    }
}

/// Bytes of a record with a payload of `length` bytes, its header and padding included.
pub const fn total_bytes(length: usize) -> usize {
    RECORD_HEADER_BYTES.saturating_add(length).next_multiple_of(ALIGNMENT)
}

/// The checksum of a header's other fields, without the record's CRC. `None`: it is too short.
fn seal(bytes: &[u8]) -> Option<u32> {
    let (length, rest) = (bytes.get(UNCOVERED_BYTES..SEAL.start)?, bytes.get(SEAL.end..RECORD_HEADER_BYTES)?);
    Some(crc32c::crc32c_append(crc32c::crc32c(length), rest))
}

/// A record's bytes with padding, and its hash. `sealed`: its header has a checksum, as segments of this version want it.
pub(super) fn encode(
    salt: u64,
    sealed: bool,
    height: Height,
    previous: &Hash,
    payload: &[u8],
) -> (Vec<u8>, Hash) {
    debug_assert!(payload.len() <= MAX_PAYLOAD_BYTES);
    let mut covered = Vec::with_capacity(total_bytes(payload.len()));
    covered.put(&MAGIC);
    covered.put_u32(0);
    covered.put_count(payload.len());
    covered.put_u32(0);
    covered.put_u64(salt);
    covered.put_u64(height.0);
    covered.put(&previous.0);
    debug_assert_eq!(covered.len(), RECORD_HEADER_BYTES);
    let checksum = seal(&covered).filter(|_| sealed).unwrap_or(0);
    if let Some(slot) = covered.get_mut(SEAL) {
        slot.copy_from_slice(&checksum.to_le_bytes());
    }
    covered.put(payload);
    let mut bytes = covered;
    let crc = bytes.get(UNCOVERED_BYTES..).map_or(0, crc32c::crc32c);
    if let Some(slot) = bytes.get_mut(4..UNCOVERED_BYTES) {
        slot.copy_from_slice(&crc.to_le_bytes());
    }
    let hash = shroud_crypto::blake3(&bytes);
    bytes.resize(total_bytes(payload.len()), 0);
    (bytes, hash)
}

/// The hash of a valid record, given all its bytes.
pub(super) fn hash(header: &RecordHeader, bytes: &[u8]) -> Hash {
    let end = RECORD_HEADER_BYTES.saturating_add(header.length);
    bytes.get(..end).map_or(Hash::ZERO, shroud_crypto::blake3)
}

//! What a segment begins with.

use shroud_crypto::Hash;

use super::Link;
use crate::Height;
use crate::codec::{Reader, Writer as _};

/// Bytes of a segment header: one page, so that it is written apart from the records.
pub const HEADER_BYTES: usize = 4096;

const MAGIC: [u8; 8] = *b"SHROUDJ\n";
const VERSION: u32 = 3;
/// The second version: its records are not sealed.
const SECOND_VERSION: u32 = 2;
/// The first version: it does not say whether the file was new either.
const FIRST_VERSION: u32 = 1;
/// Bytes before those that tell versions apart.
const PREFIX_BYTES: usize = 8 + 4;
/// Bytes that the CRC stands after, in the first version and in this one.
const FIRST_FIELDS_BYTES: usize = PREFIX_BYTES + 32 + 8 + 8 + 8 + 32;
const FIELDS_BYTES: usize = FIRST_FIELDS_BYTES + 4;

/// Which segment of which journal a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The chain's genesis hash.
    pub genesis: Hash,
    /// The segment's number, from 0, without gaps.
    pub index: u64,
    /// Fresh entropy for each use of the file.
    pub salt: u64,
    /// Whether the file held nothing but zeros when it was begun: then whatever is no record and not zero is damage.
    pub fresh: bool,
    /// Whether its records are sealed: their headers have a checksum of their own, their sectors end in marks. All are that are
    /// begun now.
    pub sealed: bool,
    /// What the first record must say.
    pub link: Link,
}

/// Why bytes are not a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentHeaderError {
    /// Fewer bytes than a header.
    #[error("the segment is shorter than its header of {HEADER_BYTES} bytes")]
    Short,
    /// All zeros: preallocated and never begun.
    #[error("the segment header was never written")]
    Blank,
    /// Something else.
    #[error("the segment header does not begin with the journal's magic number")]
    Magic,
    /// Of another version.
    #[error("the segment has version {version}; this program reads versions 1 to 3")]
    Version {
        /// The version.
        version: u32,
    },
    /// Altered or half written.
    #[error("the segment header does not match its checksum")]
    Checksum,
}

impl SegmentHeader {
    /// The header's page; it is of the second version when its records are not sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.put(&MAGIC);
        out.put_u32(if self.sealed { VERSION } else { SECOND_VERSION });
        out.put(&self.genesis.0);
        out.put_u64(self.index);
        out.put_u64(self.salt);
        out.put_u64(self.link.next.0);
        out.put(&self.link.previous.0);
        out.put_u32(self.fresh.into());
        debug_assert_eq!(out.len(), FIELDS_BYTES);
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out.resize(HEADER_BYTES, 0);
        out
    }

    /// Reads a header's page. More bytes may follow it.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentHeaderError> {
        let short = |_| SegmentHeaderError::Short;
        let page = bytes.get(..HEADER_BYTES).ok_or(SegmentHeaderError::Short)?;
        if page.iter().all(|byte| *byte == 0) {
            return Err(SegmentHeaderError::Blank);
        }
        let mut prefix = Reader::new(page);
        if prefix.array("the magic number").map_err(short)? != MAGIC {
            return Err(SegmentHeaderError::Magic);
        }
        let version = prefix.u32("the version").map_err(short)?;
        let length = if version == FIRST_VERSION { FIRST_FIELDS_BYTES } else { FIELDS_BYTES };
        let (fields, rest) = page.split_at_checked(length).ok_or(SegmentHeaderError::Short)?;
        let (crc, padding) = rest.split_first_chunk().ok_or(SegmentHeaderError::Short)?;
        if u32::from_le_bytes(*crc) != crc32c::crc32c(fields) || padding.iter().any(|byte| *byte != 0) {
            return Err(SegmentHeaderError::Checksum);
        }
        if !(FIRST_VERSION..=VERSION).contains(&version) {
            return Err(SegmentHeaderError::Version { version });
        }
        let mut reader = Reader::new(fields.get(PREFIX_BYTES..).unwrap_or_default());
        Ok(Self {
            genesis: reader.hash("the genesis hash").map_err(short)?,
            index: reader.u64("the index").map_err(short)?,
            salt: reader.u64("the salt").map_err(short)?,
            link: Link {
                next: Height(reader.u64("the height").map_err(short)?),
                previous: reader.hash("the previous record").map_err(short)?,
            },
            fresh: version > FIRST_VERSION && reader.u32("whether the file was new").map_err(short)? == 1,
            sealed: version > SECOND_VERSION,
        })
    }
}

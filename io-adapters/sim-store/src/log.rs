//! The log's format: a header, two marks, and frames.
//!
//! A frame holds a batch: magic, length, CRC-32C of the CRC before, the length and the payload. So frames form a chain that
//! begins with the header, and nothing that was written elsewhere fits into it. Two marks, each in a sector of its own and
//! written in turn, say up to where frames were synced: a bad frame before that is damage, one behind it was torn by a crash.

/// Where the marks are.
pub(crate) const MARKS: [u64; 2] = [512, 1024];
/// Where frames begin.
pub(crate) const FRAMES: u64 = 4096;
/// Bytes of a mark or the header that are used.
pub(crate) const MARK_BYTES: usize = 20;
/// Bytes before a frame's payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 12;
/// The most bytes of a payload: as many as its keys and values can count, with room to spare.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 1 << 30;

const HEADER_MAGIC: [u8; 8] = *b"SHROUDLG";
const FRAME_MAGIC: [u8; 4] = *b"SHLF";

/// The beginning of a log: its generation, one more with each compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) generation: u64,
}

/// How far frames were synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) number: u64,
    pub(crate) synced: u64,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; MARK_BYTES] {
        sealed(HEADER_MAGIC, self.generation, 0)
    }

    pub(crate) fn decode(bytes: &[u8; MARK_BYTES]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let generation = u64::from_le_bytes(*rest.first_chunk()?);
        let header = Self { generation };
        (*magic == HEADER_MAGIC && header.encode() == *bytes).then_some(header)
    }

    /// Where the chain of frames begins.
    pub(crate) fn chain(self) -> u32 {
        // Not of the whole encoding: the CRC of bytes and their CRC is the same for all.
        crc32c::crc32c_append(crc32c::crc32c(&HEADER_MAGIC), &self.generation.to_le_bytes())
    }
}

impl Mark {
    pub(crate) fn encode(self, header: Header) -> [u8; MARK_BYTES] {
        sealed(self.number.to_le_bytes(), self.synced, header.chain())
    }

    pub(crate) fn decode(bytes: &[u8; MARK_BYTES], header: Header) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let synced = u64::from_le_bytes(*rest.first_chunk()?);
        let mark = Self { number: u64::from_le_bytes(*number), synced };
        (mark.encode(header) == *bytes).then_some(mark)
    }

    /// Where it is written: not where the one before is.
    pub(crate) const fn place(self) -> u64 {
        let [even, odd] = MARKS;
        if self.number.is_multiple_of(2) { even } else { odd }
    }
}

fn sealed(first: [u8; 8], second: u64, seed: u32) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &first), &second.to_le_bytes());
    let parts = first.into_iter().chain(second.to_le_bytes()).chain(crc.to_le_bytes());
    bytes.iter_mut().zip(parts).for_each(|(out, byte)| *out = byte);
    bytes
}

/// A frame around a payload, and the chain after it.
pub(crate) fn frame(chain: u32, payload: &[u8]) -> (Vec<u8>, u32) {
    let length = (payload.len() as u32).to_le_bytes();
    let crc = crc(chain, length, payload);
    let mut out = Vec::with_capacity(FRAME_HEADER_BYTES + payload.len());
    out.extend(FRAME_MAGIC);
    out.extend(length);
    out.extend(crc.to_le_bytes());
    out.extend(payload);
    (out, crc)
}

/// The length of the payload behind a frame's header, and its CRC; `None`: it is no frame's.
pub(crate) fn frame_header(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<(usize, u32)> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let crc = u32::from_le_bytes(*rest.first_chunk()?);
    (*magic == FRAME_MAGIC && length <= MAX_PAYLOAD_BYTES).then_some((length, crc))
}

/// The chain after a frame.
pub(crate) fn crc(chain: u32, length: [u8; 4], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(chain, &length), payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_marks_are_read_back_and_any_flipped_bit_is_found() {
        let header = Header { generation: 7 };
        let mark = Mark { number: 3, synced: 5000 };
        assert_eq!(Header::decode(&header.encode()), Some(header));
        assert_eq!(Mark::decode(&mark.encode(header), header), Some(mark));
        assert_eq!(Mark::decode(&mark.encode(header), Header { generation: 8 }), None, "another log's");
        assert_ne!(mark.place(), Mark { number: 4, synced: 0 }.place());
        for bit in 0..MARK_BYTES * 8 {
            let flipped = |mut bytes: [u8; MARK_BYTES]| {
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            };
            assert_eq!(Header::decode(&flipped(header.encode())), None);
            assert_eq!(Mark::decode(&flipped(mark.encode(header)), header), None);
        }
    }

    #[test]
    fn frames_chain() {
        let chain = Header { generation: 0 }.chain();
        let (first, next) = frame(chain, b"one");
        let (length, sum) = frame_header(first.first_chunk().unwrap()).unwrap();
        assert_eq!((length, sum), (3, next));
        assert_eq!(crc(chain, 3u32.to_le_bytes(), &first[FRAME_HEADER_BYTES..]), next);
        assert_ne!(frame(next, b"one").0, first, "the same payload elsewhere is another frame");
        assert_eq!(frame_header(&[0; FRAME_HEADER_BYTES]), None);
    }
}

//! permessage-deflate (RFC 7692): what the two sides agree on, and the compressors that carry it out.

mod codecs;
mod compress;
mod decompress;
mod negotiate;

pub use codecs::Codecs;
pub use negotiate::{Compression, Negotiated, Refused};

pub(crate) use compress::Compressor;
pub(crate) use decompress::Decompressor;
pub(crate) use negotiate::{accept_offers, accept_response, offer};

/// Ends each message's compressed bytes and is left out on the wire (RFC 7692 7.2.1).
pub(crate) const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// The smallest and largest window of LZ77, as base-2 logarithms (RFC 7692 7.1.2).
const WINDOW_BITS: std::ops::RangeInclusive<u8> = 8..=15;

/// The smallest window that zlib's raw format can compress with.
const LEAST_OWN_BITS: u8 = 9;

//! Compressing whole messages (RFC 7692 7.2.1).

use super::{Codecs, LEAST_OWN_BITS, Negotiated, TAIL};
use flate2::{Compress, FlushCompress};

/// The sending side's context.
#[derive(Debug)]
pub(crate) struct Compressor {
    codecs: Codecs,
    agreed: Negotiated,
    /// Kept between messages with context takeover only.
    kept: Option<Compress>,
}

impl Compressor {
    pub(crate) const fn new(codecs: Codecs, agreed: Negotiated) -> Self {
        Self { codecs, agreed, kept: None }
    }

    /// The message's compressed bytes; `None` when it is better sent as it is.
    pub(crate) fn compress(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let Negotiated { own_bits, level, from_bytes, .. } = self.agreed;
        if own_bits < LEAST_OWN_BITS || message.len() < from_bytes {
            return None;
        }
        let mut compress = self.kept.take().unwrap_or_else(|| self.codecs.compressor(own_bits, level));
        let compressed = deflate(&mut compress, message);
        let good = compressed.filter(|compressed| compressed.len() < message.len());
        // What the peer never sees must not be referred to later.
        if good.is_some() && self.agreed.own_takeover {
            self.kept = Some(compress);
        } else {
            self.codecs.give_compressor(own_bits, level, compress);
        }
        good
    }

    /// Forgets the context, which a sender may do at any time.
    pub(crate) fn release(&mut self) {
        if let Some(compress) = self.kept.take() {
            self.codecs.give_compressor(self.agreed.own_bits, self.agreed.level, compress);
        }
    }

    pub(crate) const fn holds_context(&self) -> bool {
        self.kept.is_some()
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        self.release();
    }
}

/// Room that is made for a compressed message at first: no more than what half of it takes.
const FIRST_ROOM: usize = 64 * 1024;

fn deflate(compress: &mut Compress, mut message: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity((message.len() / 2).min(FIRST_ROOM) + 64);
    loop {
        let before = compress.total_in();
        compress.compress_vec(message, &mut out, FlushCompress::Sync).ok()?;
        let taken = usize::try_from(compress.total_in().wrapping_sub(before)).ok()?;
        message = message.get(taken..)?;
        // A flush is complete when it left room.
        if message.is_empty() && out.len() < out.capacity() {
            break;
        }
        out.reserve(out.capacity().max(64));
    }
    out.ends_with(&TAIL).then(|| {
        out.truncate(out.len() - TAIL.len());
        out
    })
}

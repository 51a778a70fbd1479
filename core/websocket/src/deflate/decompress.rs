//! Decompressing messages as their bytes arrive (RFC 7692 7.2.2), never beyond the limit.

use super::{Codecs, LEAST_OWN_BITS, Negotiated, TAIL};
use crate::error::Error;
use flate2::{Decompress, FlushDecompress, Status};

/// Room that is made for decompressed bytes, at least.
const LEAST_ROOM: usize = 256;

/// And at most, while there are fewer.
const MOST_ROOM: usize = 64 * 1024;

/// Beyond that, room is made for so many times as much as there is: few moves of a large message, each of which holds it
/// twice. Room costs memory only when it is filled.
const GROWTH: usize = 16;

/// The receiving side's context.
#[derive(Debug)]
pub(crate) struct Decompressor {
    codecs: Codecs,
    bits: u8,
    takeover: bool,
    /// Within a message, and with context takeover from the first message on.
    kept: Option<Decompress>,
}

impl Decompressor {
    pub(crate) fn new(codecs: Codecs, agreed: Negotiated) -> Self {
        // A larger window reads what was written with a smaller one.
        let bits = agreed.peer_bits.max(LEAST_OWN_BITS);
        Self { codecs, bits, takeover: agreed.peer_takeover, kept: None }
    }

    /// Decompresses some of a message, appending to `out`, which holds at most `limit` bytes then.
    pub(crate) fn decompress(&mut self, piece: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        let decompress = self.kept.get_or_insert_with(|| self.codecs.decompressor(self.bits));
        inflate(decompress, piece, out, limit)
    }

    /// Ends a message.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        self.decompress(&TAIL, out, limit)?;
        if !self.takeover {
            self.release();
        }
        Ok(())
    }

    fn release(&mut self) {
        if let Some(decompress) = self.kept.take() {
            self.codecs.give_decompressor(self.bits, decompress);
        }
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        self.release();
    }
}

fn inflate(
    decompress: &mut Decompress,
    mut piece: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), Error> {
    loop {
        if out.len() == out.capacity() {
            // One byte more than the limit shows that it is passed.
            let room = match out.len() {
                large @ MOST_ROOM.. => large.saturating_mul(GROWTH - 1),
                small => small.max(LEAST_ROOM),
            };
            out.reserve_exact(room.min(limit.saturating_sub(out.len()).saturating_add(1)));
        }
        let (before_in, before_out) = (decompress.total_in(), out.len());
        let status =
            decompress.decompress_vec(piece, out, FlushDecompress::Sync).map_err(|_| Error::Compressed)?;
        let taken = usize::try_from(decompress.total_in().wrapping_sub(before_in));
        piece = taken.ok().and_then(|taken| piece.get(taken..)).ok_or(Error::Compressed)?;
        let stuck = decompress.total_in() == before_in && out.len() == before_out;
        if out.len() > limit {
            return Err(Error::MessageTooLong { limit });
        }
        if status == Status::StreamEnd {
            // A final block (RFC 7692 7.2.3.4): what follows is a stream of its own.
            decompress.reset(false);
        } else if piece.is_empty() && out.len() < out.capacity() {
            return Ok(());
        } else if stuck && out.len() < out.capacity() {
            return Err(Error::Compressed);
        }
        if piece.is_empty() && status == Status::StreamEnd {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(takeover: bool) -> Negotiated {
        Negotiated {
            own_bits: 15,
            peer_bits: 15,
            own_takeover: takeover,
            peer_takeover: takeover,
            level: 6,
            from_bytes: 0,
        }
    }

    fn decompress(side: &mut Decompressor, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in bytes {
            side.decompress(&[*byte], &mut out, 1000).unwrap();
        }
        side.finish(&mut out, 1000).unwrap();
        out
    }

    /// RFC 7692 7.2.3.
    #[test]
    fn examples_of_the_standard() {
        let mut side = Decompressor::new(Codecs::new(), agreed(true));
        assert_eq!(decompress(&mut side, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), b"Hello");
        // The second message refers to the first.
        assert_eq!(decompress(&mut side, &[0xf2, 0x00, 0x11, 0x00, 0x00]), b"Hello");

        let mut side = Decompressor::new(Codecs::new(), agreed(false));
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        assert_eq!(decompress(&mut side, &stored), b"Hello");
        let last_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        assert_eq!(decompress(&mut side, &last_block), b"Hello");
        let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(decompress(&mut side, &two_blocks), b"Hello");
        assert_eq!(decompress(&mut side, &[0x00]), b"");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let codecs = Codecs::new();
        let mut compressor = super::super::Compressor::new(codecs.clone(), agreed(false));
        let bomb = compressor.compress(&vec![0; 1 << 20]).unwrap();
        assert!(bomb.len() < 2000);
        let mut side = Decompressor::new(codecs, agreed(false));
        let mut out = Vec::new();
        assert_eq!(side.decompress(&bomb, &mut out, 10_000), Err(Error::MessageTooLong { limit: 10_000 }));
        assert!(out.capacity() <= 10_100, "{}", out.capacity());
        let mut exact = Vec::new();
        let mut side = Decompressor::new(Codecs::new(), agreed(false));
        side.decompress(&bomb, &mut exact, 1 << 20).unwrap();
        side.finish(&mut exact, 1 << 20).unwrap();
        assert_eq!(exact.len(), 1 << 20);
    }

    #[test]
    fn codecs_come_back() {
        let codecs = Codecs::new();
        let mut compressor = super::super::Compressor::new(codecs.clone(), agreed(true));
        let mut side = Decompressor::new(codecs.clone(), agreed(true));
        let text = [b'a'; 500];
        let first = compressor.compress(&text).unwrap();
        let second = compressor.compress(&text).unwrap();
        assert!(second.len() < first.len(), "the second refers to the first");
        assert_eq!(decompress(&mut side, &first), text);
        assert_eq!(decompress(&mut side, &second), text);
        assert_eq!(codecs.idle(), 0);
        compressor.release();
        assert_eq!(codecs.idle(), 1);
        drop(side);
        assert_eq!(codecs.idle(), 2);
    }
}

//! Compressors and decompressors that connections share.

use flate2::{Compress, Compression as Level, Decompress};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Idle ones of a kind that are kept.
const KEPT: usize = 8;

/// Compressors and decompressors for as many connections as one likes.
///
/// One of them takes 40 to 260 KiB. A connection borrows one while a message is in work, and keeps it only where context
/// takeover was agreed on. Clones share; a server has one.
#[derive(Clone, Default)]
pub struct Codecs {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    compressors: Mutex<Vec<(Kind, Compress)>>,
    decompressors: Mutex<Vec<(u8, Decompress)>>,
}

/// Window bits and level.
type Kind = (u8, u32);

impl Codecs {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn compressor(&self, bits: u8, level: u32) -> Compress {
        take(&self.shared.compressors, (bits, level))
            .unwrap_or_else(|| Compress::new_with_window_bits(Level::new(level), false, bits))
    }

    pub(super) fn decompressor(&self, bits: u8) -> Decompress {
        take(&self.shared.decompressors, bits)
            .unwrap_or_else(|| Decompress::new_with_window_bits(false, bits))
    }

    pub(super) fn give_compressor(&self, bits: u8, level: u32, mut compressor: Compress) {
        compressor.reset();
        give(&self.shared.compressors, (bits, level), compressor);
    }

    pub(super) fn give_decompressor(&self, bits: u8, mut decompressor: Decompress) {
        decompressor.reset(false);
        give(&self.shared.decompressors, bits, decompressor);
    }

    /// Idle ones at the moment.
    #[must_use]
    pub fn idle(&self) -> usize {
        let locked = |length: Result<usize, usize>| length.unwrap_or_else(|length| length);
        locked(self.shared.compressors.lock().map(|idle| idle.len()).map_err(|idle| idle.into_inner().len()))
            + locked(
                self.shared
                    .decompressors
                    .lock()
                    .map(|idle| idle.len())
                    .map_err(|idle| idle.into_inner().len()),
            )
    }
}

fn take<K: PartialEq, T>(idle: &Mutex<Vec<(K, T)>>, kind: K) -> Option<T> {
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    let at = idle.iter().rposition(|(of, _)| *of == kind)?;
    Some(idle.swap_remove(at).1)
}

fn give<K: PartialEq, T>(idle: &Mutex<Vec<(K, T)>>, kind: K, codec: T) {
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.iter().filter(|(of, _)| *of == kind).count() < KEPT {
        idle.push((kind, codec));
    }
}

impl fmt::Debug for Codecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codecs").field("idle", &self.idle()).finish()
    }
}

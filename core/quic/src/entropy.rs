//! Chance as an input.

use std::sync::Arc;

/// Fills a buffer with entropy: the seam's, so that a simulated run can be repeated.
pub(crate) type Entropy = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// Hands out entropy in small pieces without asking the system for each.
pub(crate) struct Pieces {
    source: Entropy,
    buffer: [u8; 240],
    used: usize,
}

impl Pieces {
    pub(crate) fn new(source: Entropy) -> Self {
        Self { source, buffer: [0; 240], used: 240 }
    }

    /// The next `N` bytes; `N` is at most 240.
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        if self.used + N > self.buffer.len() {
            (self.source)(&mut self.buffer);
            self.used = 0;
        }
        if let Some(piece) = self.buffer.get_mut(self.used..self.used + N) {
            out.copy_from_slice(piece);
            piece.fill(0);
        }
        self.used += N;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    #[test]
    fn pieces_do_not_repeat() {
        let calls = AtomicU8::new(0);
        let mut pieces = Pieces::new(Arc::new(move |out: &mut [u8]| {
            out.fill(calls.fetch_add(1, Ordering::Relaxed) + 1);
        }));
        let seen: Vec<[u8; 100]> = (0..4).map(|_| pieces.take()).collect();
        assert_eq!(seen, [[1; 100], [1; 100], [2; 100], [2; 100]]);
    }
}

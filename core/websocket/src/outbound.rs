//! From messages to bytes.

use crate::deflate::Compressor;
use crate::frame::{HEADER_BYTES, Header, Opcode};
use crate::mask;
use crate::message::Message;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Payloads up to this length are copied behind their header, so that many frames go out in one piece.
const JOINED: usize = 4096;

/// A client's source of masking keys.
pub(crate) type NextMask = Box<dyn FnMut() -> [u8; 4] + Send + Sync>;

/// The sending half.
pub(crate) struct Outbound {
    /// At a client.
    masks: Option<NextMask>,
    compressor: Option<Box<Compressor>>,
    /// Encoded frames, in order; `open` is the last of them.
    pieces: VecDeque<Bytes>,
    open: BytesMut,
    /// Bytes encoded and not yet reported as transmitted.
    queued: usize,
}

impl Outbound {
    pub(crate) fn new(masks: Option<NextMask>, compressor: Option<Compressor>) -> Self {
        let (pieces, open) = (VecDeque::new(), BytesMut::new());
        Self { masks, compressor: compressor.map(Box::new), pieces, open, queued: 0 }
    }

    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) fn transmitted(&mut self, bytes: usize) {
        self.queued = self.queued.saturating_sub(bytes);
    }

    pub(crate) fn holds_context(&self) -> bool {
        self.compressor.as_ref().is_some_and(|compressor| compressor.holds_context())
    }

    pub(crate) fn release_context(&mut self) {
        if let Some(compressor) = &mut self.compressor {
            compressor.release();
        }
    }

    /// The next bytes to transmit.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.pieces.pop_front() {
            return Some(piece);
        }
        // An idle connection keeps no buffer.
        (!self.open.is_empty()).then(|| std::mem::take(&mut self.open).freeze())
    }

    /// Encodes a message in frames of at most `fragment` bytes.
    pub(crate) fn message(&mut self, message: Message, fragment: usize) {
        let opcode = if message.is_text() { Opcode::Text } else { Opcode::Binary };
        let compressed =
            self.compressor.as_mut().and_then(|compressor| compressor.compress(message.as_bytes()));
        let is_compressed = compressed.is_some();
        let mut rest = compressed.map_or_else(|| message.into_bytes(), Bytes::from);
        let mut first = true;
        loop {
            let payload = rest.split_to(rest.len().min(fragment.max(1)));
            let header = Header {
                fin: rest.is_empty(),
                compressed: is_compressed && first,
                opcode: if first { opcode } else { Opcode::Continuation },
                mask: None,
                length: 0,
            };
            first = false;
            self.frame(header, payload);
            if rest.is_empty() {
                return;
            }
        }
    }

    pub(crate) fn control(&mut self, opcode: Opcode, payload: &[u8]) {
        let header = Header { fin: true, compressed: false, opcode, mask: None, length: 0 };
        self.frame(header, Bytes::copy_from_slice(payload));
    }

    fn frame(&mut self, mut header: Header, payload: Bytes) {
        header.mask = self.masks.as_mut().map(|next| next());
        header.length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let before = self.open.len();
        let joined = header.mask.is_some() || payload.len() <= JOINED;
        self.open.reserve(HEADER_BYTES + if joined { payload.len() } else { 0 });
        header.write(&mut self.open);
        if joined {
            let start = self.open.len();
            self.open.extend_from_slice(&payload);
            if let (Some(mask), Some(masked)) = (header.mask, self.open.get_mut(start..)) {
                mask::apply(masked, mask, 0);
            }
            self.queued += self.open.len() - before;
        } else {
            self.queued += self.open.len() - before + payload.len();
            self.pieces.push_back(std::mem::take(&mut self.open).freeze());
            self.pieces.push_back(payload);
        }
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("queued", &self.queued).finish_non_exhaustive()
    }
}

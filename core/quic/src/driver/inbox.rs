//! The batch that was received last, and how much of it was handled.

use shroud_runtime::net::MAX_BATCH;
use shroud_runtime::{Datagram, RecvMeta};
use std::io::{self, IoSliceMut};
use std::task::{Context, Poll};

/// The largest buffer that the kernel fills with coalesced datagrams.
const COALESCED: usize = 65_535;
/// Buffers of that size.
const COALESCED_BATCH: usize = 16;

pub(super) struct Inbox {
    storage: Vec<u8>,
    size: usize,
    meta: [RecvMeta; MAX_BATCH],
    filled: usize,
    /// The buffer being handled, and how many of its bytes were.
    current: usize,
    offset: usize,
}

impl Inbox {
    pub(super) fn new(max_udp_payload: usize, receive_segments: usize) -> Self {
        let (size, count) = match receive_segments {
            0 | 1 => (max_udp_payload, MAX_BATCH),
            _ => (COALESCED, COALESCED_BATCH),
        };
        Self {
            storage: vec![0; size * count],
            size,
            meta: [RecvMeta::empty(); MAX_BATCH],
            filled: 0,
            current: 0,
            offset: 0,
        }
    }

    pub(super) fn has_more(&self) -> bool {
        self.current < self.filled
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
        self.current = 0;
        self.offset = 0;
    }

    /// Receives the next batch, when all of the last was taken; ready with how many buffers were filled.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &impl Datagram,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(!self.has_more());
        self.clear();
        let count = (self.storage.len() / self.size).min(MAX_BATCH);
        let mut rest = self.storage.chunks_exact_mut(self.size);
        let mut buffers: [IoSliceMut<'_>; MAX_BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(rest.next().unwrap_or_default()));
        let buffers = buffers.get_mut(..count).unwrap_or_default();
        let meta = self.meta.get_mut(..count).unwrap_or_default();
        socket.poll_recv(cx, buffers, meta).map_ok(|filled| {
            self.filled = filled;
            filled
        })
    }

    /// The next datagram of the batch. `None` when all were taken.
    pub(super) fn next(&mut self) -> Option<(RecvMeta, &[u8])> {
        while self.current < self.filled {
            let meta = *self.meta.get(self.current)?;
            let start = self.current * self.size;
            let received = meta.len.min(self.size);
            if self.offset < received {
                let end = received.min(self.offset + meta.stride.max(1));
                let from = std::mem::replace(&mut self.offset, end);
                return Some((meta, self.storage.get(start + from..start + end)?));
            }
            self.current += 1;
            self.offset = 0;
        }
        None
    }
}

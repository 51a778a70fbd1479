//! What will happen.

use crate::arena::Key;
use shroud_runtime::Job;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Something that will happen at its time.
pub(crate) enum Event {
    /// An alarm may be due.
    Alarm(Key),
    /// Runs outside the world's lock.
    Action(Job),
    /// A connection attempt reaches its listener.
    Attempt(Key),
    /// A connection attempt is made again.
    AttemptAgain(Key),
    /// The answer to a connection attempt.
    Answer { attempt: Key, refused: bool },
    /// A part of a stream arrives; with `fin`, its end.
    Segment { connection: Key, lane: usize, length: usize, fin: bool },
    /// A stream's sender tries again.
    Retry { connection: Key, lane: usize },
    /// A stream's receiver tells its sender how much it has.
    Credit { connection: Key, lane: usize },
    /// As before, after that was lost.
    CreditAgain { connection: Key, lane: usize },
    /// A reset arrives at a side.
    Reset { connection: Key, side: usize },
    /// A datagram arrives.
    Datagram(Box<crate::network::datagram::Packet>),
    /// A socket's datagrams have left.
    Departed { socket: Key, bytes: usize },
    /// A file operation takes place.
    Operation(Key),
    /// The result of a file operation is there.
    OperationDone(Key),
}

/// An event and when it happens.
pub(crate) struct Entry {
    pub(crate) time: u64,
    sequence: u64,
    pub(crate) event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest; of two at one time, the one that was made first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time, other.sequence).cmp(&(self.time, self.sequence))
    }
}

/// All that will happen, by time.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    sequence: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, time: u64, event: Event) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.heap.push(Entry { time, sequence, event });
    }

    /// When the next one is.
    pub(crate) fn next_time(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.time)
    }

    pub(crate) fn pop(&mut self) -> Option<Entry> {
        self.heap.pop()
    }

    pub(crate) fn take(&mut self) -> BinaryHeap<Entry> {
        std::mem::take(&mut self.heap)
    }
}

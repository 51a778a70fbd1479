//! What connections have received and are yet to handle.
//!
//! All that the socket has is taken from it first, which costs little, and handled by connection: a peer whose datagrams take long,
//! or who sends many, then delays its own connection and not those whose datagrams came after. What waits is limited; past the
//! limit those lose of which something waits already.

use crate::shard::Core;
use quinn_proto::{ConnectionEvent, ConnectionHandle};
use std::collections::VecDeque;

/// Datagrams that may wait, and their bytes: beyond, those of connections of which some wait already are dropped, and beyond twice as
/// many all.
const DATAGRAMS: usize = 1024;
const BYTES: usize = 2 << 20;

/// Empty backlogs that are kept for the connections that need one next: idle ones have none.
const SPARE: usize = 16;

/// The largest that is kept, in datagrams.
const SPARE_SIZE: usize = 512;

/// Of one connection.
#[derive(Default)]
pub(crate) struct Backlog {
    waiting: Waiting,
    /// Where the connection stands; `None`: nothing waits.
    pub(crate) line: Option<Line>,
}

/// The oldest first, with their lengths.
type Waiting = VecDeque<(ConnectionEvent, usize)>;

/// Whose datagrams are handled first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Those of connections of which nothing waited.
    Light,
    /// Those of connections that have had their turn and are not done, and of handshakes.
    Heavy,
}

/// Of all connections.
#[derive(Default)]
pub(crate) struct Backlogs {
    datagrams: usize,
    bytes: usize,
    spare: Vec<Waiting>,
}

impl Backlogs {
    fn is_full_for(&self, line: Option<Line>) -> bool {
        let times = if line.is_some() { 1 } else { 2 };
        self.datagrams >= times * DATAGRAMS || self.bytes >= times * BYTES
    }

    /// Forgets what a connection that is gone was yet to handle.
    pub(crate) fn forget(&mut self, backlog: &Backlog) {
        self.datagrams -= backlog.waiting.len();
        self.bytes -= backlog.waiting.iter().map(|(_, length)| length).sum::<usize>();
    }
}

impl Core {
    /// Keeps a datagram of `length` bytes for its connection, which exists. `Some`: it stands in that line from now on.
    pub(crate) fn keep(
        &mut self,
        index: ConnectionHandle,
        datagram: ConnectionEvent,
        length: usize,
    ) -> Option<Line> {
        let slot = self.slots.get_mut(index.0)?.as_mut()?;
        let all = &mut self.backlogs;
        if all.is_full_for(slot.backlog.line) {
            self.stats.backlog_lost += 1;
            return None;
        }
        all.datagrams += 1;
        all.bytes += length;
        let waiting = &mut slot.backlog.waiting;
        if waiting.capacity() == 0
            && let Some(spare) = all.spare.pop()
        {
            *waiting = spare;
        }
        waiting.push_back((datagram, length));
        if slot.backlog.line.is_some() {
            return None;
        }
        let line = if slot.handshake.is_some() { Line::Heavy } else { Line::Light };
        slot.backlog.line = Some(line);
        Some(line)
    }

    /// The oldest datagram that a connection is yet to handle.
    pub(crate) fn take(&mut self, index: ConnectionHandle) -> Option<ConnectionEvent> {
        let waiting = &mut self.slots.get_mut(index.0)?.as_mut()?.backlog.waiting;
        let (datagram, length) = waiting.pop_front()?;
        let all = &mut self.backlogs;
        all.datagrams -= 1;
        all.bytes -= length;
        if waiting.is_empty() {
            let empty = std::mem::take(waiting);
            if all.spare.len() < SPARE && empty.capacity() <= SPARE_SIZE {
                all.spare.push(empty);
            }
        }
        Some(datagram)
    }

    /// After a connection's turn: whether it stands in [`Line::Heavy`] now, with what is left.
    pub(crate) fn is_not_done(&mut self, index: ConnectionHandle) -> bool {
        let Some(slot) = self.slot(index) else { return false };
        slot.backlog.line = (!slot.backlog.waiting.is_empty()).then_some(Line::Heavy);
        slot.backlog.line.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_limits_and_one_past_them() {
        let at = |datagrams, bytes| Backlogs { datagrams, bytes, spare: Vec::new() };
        let known = [Some(Line::Heavy), Some(Line::Light)];
        for (full, one_less) in [(at(DATAGRAMS, 0), at(DATAGRAMS - 1, 0)), (at(0, BYTES), at(0, BYTES - 1))] {
            assert!(known.iter().all(|line| full.is_full_for(*line)) && !full.is_full_for(None));
            assert!(!known.iter().any(|line| one_less.is_full_for(*line)));
        }
        for (full, one_less) in
            [(at(2 * DATAGRAMS, 0), at(2 * DATAGRAMS - 1, 0)), (at(0, 2 * BYTES), at(0, 2 * BYTES - 1))]
        {
            assert!(full.is_full_for(None) && !one_less.is_full_for(None));
        }
    }
}

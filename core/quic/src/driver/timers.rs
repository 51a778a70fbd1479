//! The connections' deadlines, the earliest first.
//!
//! A deadline that moves later leaves its entry where it is: when that comes up, the connection says that nothing is due,
//! and is armed anew. So a packet that moves the idle time-out costs nothing.

use crate::shard::Core;
use quinn_proto::ConnectionHandle;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl Timers {
    /// Sees to it that `index` comes up at `deadline` or before; `armed` is its earliest entry.
    pub(super) fn arm(
        &mut self,
        index: ConnectionHandle,
        armed: &mut Option<Instant>,
        deadline: Option<Instant>,
    ) {
        let Some(deadline) = deadline else { return };
        if armed.is_none_or(|armed| deadline < armed) {
            self.heap.push(Reverse((deadline, index.0)));
            *armed = Some(deadline);
        }
    }

    /// The next entry that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, ConnectionHandle)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((at, index))| (at, ConnectionHandle(index)))
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Forgets the entries of connections that are gone, when they are more than half.
    pub(super) fn tidy(&mut self, core: &mut Core) {
        if self.heap.len() > 64 + 2 * core.stats.connections {
            self.heap.retain(|Reverse((at, index))| {
                let slot = core.slots.get(*index).and_then(Option::as_ref);
                slot.is_some_and(|slot| slot.armed == Some(*at))
                    || core.closing.get(index).is_some_and(|closing| closing.until == *at)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a start for virtual time")]
    fn only_earlier_deadlines_make_entries() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (mut timers, mut armed) = (Timers::default(), None);
        let index = ConnectionHandle(3);
        timers.arm(index, &mut armed, Some(at(5)));
        timers.arm(index, &mut armed, Some(at(9)));
        timers.arm(index, &mut armed, None);
        assert_eq!(timers.heap.len(), 1);
        timers.arm(index, &mut armed, Some(at(2)));
        assert_eq!(armed, Some(at(2)));
        assert!(timers.pop(at(1)).is_none());
        assert_eq!(timers.pop(at(6)), Some((at(2), index)));
        assert_eq!(timers.pop(at(6)), Some((at(5), index)));
        assert_eq!(timers.next(), None);
    }
}

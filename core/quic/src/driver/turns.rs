//! Connections take turns at what they have received.

use super::{Driver, PASS};
use crate::backlog::Line;
use crate::shard::Core;
use quinn_proto::ConnectionHandle;
use shroud_runtime::Runtime;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Datagrams that one connection handles before the next has its turn.
const SLICE: usize = 32;
/// And how long it may take.
const SLICE_TIME: Duration = Duration::from_micros(60);
/// Datagrams that are handled without a look at the clock, unless the last took long.
const UNTIMED: u32 = 8;

/// Looks at the clock as often as is worth it.
pub(super) struct Pace {
    /// Datagrams until the next look.
    untimed: u32,
    handled: u32,
    since: Instant,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self { untimed: UNTIMED, handled: 0, since: now }
    }

    pub(super) fn begin(&mut self, now: Instant) {
        (self.handled, self.since) = (0, now);
    }

    /// Whether datagrams have taken long lately.
    fn is_slow(&self) -> bool {
        self.untimed < UNTIMED
    }

    /// One more was handled; the time, when it was looked at.
    pub(super) fn step(&mut self, clock: impl FnOnce() -> Instant) -> Option<Instant> {
        self.handled += 1;
        if self.handled < self.untimed {
            return None;
        }
        let now = clock();
        let slow = now.saturating_duration_since(self.since) * UNTIMED >= PASS * self.handled;
        self.untimed = if slow { 1 } else { (self.untimed + 1).min(UNTIMED) };
        self.begin(now);
        Some(now)
    }
}

/// Who is next.
#[derive(Default)]
pub(super) struct Lines {
    light: VecDeque<ConnectionHandle>,
    heavy: VecDeque<ConnectionHandle>,
}

impl Lines {
    pub(super) fn join(&mut self, index: ConnectionHandle, line: Line) {
        match line {
            Line::Light => self.light.push_back(index),
            Line::Heavy => self.heavy.push_back(index),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.heavy.is_empty()
    }
}

impl<R: Runtime> Driver<R> {
    /// Handles what connections have received: the light line first. However little time there is, one of each line has its turn.
    pub(super) fn take_turns(&mut self, core: &mut Core, now: Instant, work: &mut usize) {
        let mut clock = now;
        self.pace.begin(now);
        let (mut light, mut heavy) = (0_u32, 0_u32);
        loop {
            let over = *work == 0 || clock.saturating_duration_since(now) >= PASS;
            let next = if !over || light == 0 { self.lines.light.pop_front() } else { None };
            let (index, turns) = match next {
                Some(index) => (index, &mut light),
                None if over && heavy > 0 => return,
                None => {
                    let Some(index) = self.lines.heavy.pop_front() else { return };
                    (index, &mut heavy)
                }
            };
            // One that is gone has none.
            *turns += u32::from(self.take_turn(core, index, &mut clock, work));
            if core.is_not_done(index) {
                self.lines.heavy.push_back(index);
            }
        }
    }

    /// Whether there was anything to handle.
    fn take_turn(
        &mut self,
        core: &mut Core,
        index: ConnectionHandle,
        clock: &mut Instant,
        work: &mut usize,
    ) -> bool {
        let Some(slot) = core.slot(index) else { return false };
        let cell = Arc::clone(&slot.cell);
        let mut state = cell.lock();
        if self.pace.is_slow() {
            // Others' time is not this one's.
            *clock = self.runtime.now();
            self.pace.begin(*clock);
        }
        let begun = *clock;
        let mut handled = false;
        for _ in 0..SLICE {
            let Some(datagram) = core.take(index) else { break };
            handled = true;
            *work = work.saturating_sub(1);
            state.machine.handle_event(datagram);
            if let Some(now) = self.pace.step(|| self.runtime.now()) {
                *clock = now;
                if now.saturating_duration_since(begun) >= SLICE_TIME {
                    break;
                }
            }
        }
        if !handled {
            return false;
        }
        self.enqueue(&cell);
        self.dispatch(core, &cell, &mut state);
        true
    }
}

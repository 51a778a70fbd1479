//! Alarms on a host's monotonic clock.

use crate::arena::Key;
use crate::event::Event;
use crate::host::{HostId, Owner};
use crate::trace::Kind;
use crate::universe::{Universe, World};
use shroud_runtime::Alarm;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// What the world keeps of an alarm that somebody waits for.
#[derive(Debug)]
pub(crate) struct AlarmState {
    pub(crate) owner: Owner,
    /// By the host's monotonic clock.
    deadline: u64,
    /// When its event comes; an event of another time is from before the alarm was moved.
    scheduled: Option<u64>,
    waker: Option<Waker>,
}

/// A re-armable timer.
#[derive(Debug)]
pub struct SimAlarm {
    universe: Universe,
    owner: Owner,
    deadline: Option<Instant>,
    key: Option<Key>,
}

impl SimAlarm {
    pub(crate) fn new(universe: Universe, owner: Owner) -> Self {
        Self { universe, owner, deadline: None, key: None }
    }
}

impl Alarm for SimAlarm {
    fn set(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let shown = self.universe.shown(deadline);
        let (owner, known) = (self.owner, self.key);
        let polled = self.universe.with(|world| world.poll_alarm(owner, known, shown, cx.waker()));
        match polled {
            Ok(()) => {
                self.deadline = None;
                Poll::Ready(())
            }
            Err(key) => {
                self.key = key;
                Poll::Pending
            }
        }
    }
}

impl Drop for SimAlarm {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            drop(self.universe.with(|world| world.alarms.remove(key)));
        }
    }
}

impl Universe {
    /// Moves a host's wall clock; its monotonic clock does not notice.
    pub fn jump_clock(&self, host: HostId, nanoseconds: i64) {
        self.with(|world| {
            if let Some(state) = world.hosts.get_mut(host.0) {
                state.clock.jump(nanoseconds);
                world.note(Kind::ClockChanged, host.0 as u64, nanoseconds.cast_unsigned());
            }
        });
    }

    /// Has a host's clocks run faster (or slower, when negative) by so many parts in a million.
    pub fn drift_clock(&self, host: HostId, ppm: i32) {
        self.with(|world| {
            let now = world.now;
            let Some(state) = world.hosts.get_mut(host.0) else { return };
            state.clock.drift(now, ppm);
            let clock = state.clock.clone();
            world.note(Kind::ClockChanged, host.0 as u64, i64::from(ppm).cast_unsigned());
            for key in world.alarms.keys(|alarm| alarm.owner.host == host.0 && alarm.scheduled.is_some()) {
                let Some(alarm) = world.alarms.get_mut(key) else { continue };
                let when = clock.when(alarm.deadline).max(now);
                alarm.scheduled = Some(when);
                world.queue.push(when, Event::Alarm(key));
            }
        });
    }
}

impl World {
    /// Whether the alarm is due; its key when not.
    fn poll_alarm(
        &mut self,
        owner: Owner,
        known: Option<Key>,
        deadline: u64,
        waker: &Waker,
    ) -> Result<(), Option<Key>> {
        let now = self.now;
        let Some(host) = self.alive(owner) else { return Err(known) };
        if host.clock.monotonic(now) >= deadline {
            return Ok(());
        }
        let when = host.clock.when(deadline);
        let key = match known.filter(|key| self.alarms.get(*key).is_some()) {
            Some(key) => key,
            None => self.alarms.insert(AlarmState { owner, deadline, scheduled: None, waker: None }),
        };
        if let Some(alarm) = self.alarms.get_mut(key) {
            alarm.deadline = deadline;
            if alarm.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
                alarm.waker = Some(waker.clone());
            }
            // One that comes too early is put off then, once for any number of moves.
            if alarm.scheduled.is_none_or(|scheduled| scheduled > when) {
                alarm.scheduled = Some(when);
                self.queue.push(when, Event::Alarm(key));
            }
        }
        Err(Some(key))
    }

    pub(crate) fn alarm_event(&mut self, key: Key) {
        let now = self.now;
        let Some(alarm) = self.alarms.get_mut(key) else { return };
        let Some(host) = self.hosts.get(alarm.owner.host) else { return };
        // The event may be late: tasks were polled meanwhile.
        if alarm.scheduled.is_none_or(|scheduled| scheduled > now) {
            return;
        }
        alarm.scheduled = None;
        if host.clock.monotonic(now) < alarm.deadline {
            let when = host.clock.when(alarm.deadline);
            alarm.scheduled = Some(when);
            self.queue.push(when, Event::Alarm(key));
            return;
        }
        let mut waker = alarm.waker.take();
        self.wake(&mut waker);
        self.note(Kind::AlarmFired, key.number(), 0);
    }
}

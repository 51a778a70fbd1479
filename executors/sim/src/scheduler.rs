//! The scheduler.

use crate::environment::Environment;
use crate::executor::SimExecutor;
use crate::policy::{Changes, Policy, priority};
use crate::process::{Process, State as ProcessState};
use crate::task::{Body, Handle, Slot};
use shroud_runtime::{Job, TimedJob};
use slab::Slab;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

/// What a poll costs, in nanoseconds: about what short ones do on a real machine. Never nothing, so that time passes and
/// timers fire while tasks wait by yielding.
const POLL_COST: std::ops::RangeInclusive<u64> = 1_000..=20_000;

/// After how long a blocking job runs, in nanoseconds: a busy pool's threads and a disk's.
const JOB_DELAY: std::ops::RangeInclusive<u64> = 20_000..=2_000_000;

/// What a turn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turn {
    /// One task was polled.
    Polled,
    /// No task was ready: time jumped to the next event.
    Jumped,
    /// No task was ready and there is no event: nothing will ever happen, unless a foreign thread wakes a task.
    Idle,
}

/// Polls the tasks of all processes on the thread that calls [`Scheduler::turn`]. A cheap clone.
#[derive(Clone)]
pub struct Scheduler {
    core: Arc<Core>,
}

impl Scheduler {
    /// A scheduler without processes.
    #[must_use]
    pub fn new(environment: Arc<dyn Environment>, policy: Policy) -> Self {
        let core = Core {
            environment,
            policy,
            state: Mutex::default(),
            woken: Condvar::new(),
            polls: AtomicU64::new(0),
        };
        Self { core: Arc::new(core) }
    }

    /// A new process, without tasks.
    #[must_use]
    pub fn process(&self) -> Process {
        let mut state = self.core.state();
        state.processes.push(ProcessState::default());
        Process(state.processes.len() - 1)
    }

    /// Spawns tasks of `process`.
    #[must_use]
    pub fn executor(&self, process: Process) -> SimExecutor {
        SimExecutor { core: Arc::clone(&self.core), process }
    }

    /// Drops all tasks of a process where they stand, the latest first, and those that are spawned in it from now on. A
    /// task that is being polled is dropped when its poll returns.
    pub fn kill(&self, process: Process) {
        let mut bodies: Vec<Body> = Vec::new();
        let jobs = {
            let mut state = self.core.state();
            let state = &mut *state;
            let Some(killed) = state.processes.get_mut(process.0) else { return };
            killed.dead = true;
            killed.live = 0;
            killed.held = Vec::new();
            let jobs = std::mem::take(&mut killed.held_jobs);
            let mut slots: Vec<(u64, usize)> = state
                .tasks
                .iter()
                .filter(|(_, slot)| slot.process == process.0)
                .map(|(index, slot)| (slot.number, index))
                .collect();
            slots.sort_unstable_by(|left, right| right.cmp(left));
            for (_, index) in slots {
                bodies.extend(state.tasks.remove(index).body);
            }
            let tasks = &state.tasks;
            state
                .ready
                .retain(|(index, number)| tasks.get(*index).is_some_and(|slot| slot.number == *number));
            jobs
        };
        // Destructors may do anything that tasks may; one that panics takes nobody with it.
        for body in bodies {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(body)));
        }
        drop(jobs);
    }

    /// Polls no task of a process until it is resumed.
    pub fn pause(&self, process: Process) {
        if let Some(process) = self.core.state().processes.get_mut(process.0) {
            process.paused = true;
        }
    }

    /// Lets a paused process go on.
    pub fn resume(&self, process: Process) {
        let jobs = {
            let mut state = self.core.state();
            let state = &mut *state;
            let Some(process) = state.processes.get_mut(process.0).filter(|process| process.paused) else {
                return;
            };
            process.paused = false;
            state.ready.extend(process.held.drain(..));
            std::mem::take(&mut process.held_jobs)
        };
        for job in jobs {
            job();
        }
    }

    /// Tasks of a process that have not ended.
    #[must_use]
    pub fn live(&self, process: Process) -> usize {
        self.core.state().processes.get(process.0).map_or(0, |process| process.live)
    }

    /// How many polls there were.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.core.polls.load(Ordering::Relaxed)
    }

    /// Fires what is due, then polls one ready task, or jumps to the next event when none is ready.
    pub fn turn(&self) -> Turn {
        self.core.environment.fire_due();
        if self.core.poll_one() {
            Turn::Polled
        } else if self.core.environment.fire_next() {
            Turn::Jumped
        } else {
            Turn::Idle
        }
    }

    /// Waits, in real time, for a foreign thread to wake a task; `false` when none did within `patience`. A simulation
    /// that needs this is not reproducible.
    #[must_use]
    pub fn wait_for_foreign_wake(&self, patience: Duration) -> bool {
        let mut state = self.core.state();
        state.sleeping = true;
        let waited = self.core.woken.wait_timeout_while(state, patience, |state| state.ready.is_empty());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.sleeping = false;
        !state.ready.is_empty()
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("policy", &self.core.policy)
            .field("polls", &self.polls())
            .finish_non_exhaustive()
    }
}

/// What executors and wakers share with the scheduler.
pub(crate) struct Core {
    environment: Arc<dyn Environment>,
    policy: Policy,
    state: Mutex<State>,
    woken: Condvar,
    polls: AtomicU64,
}

#[derive(Default)]
struct State {
    tasks: Slab<Slot>,
    /// Index and number of each ready task.
    ready: VecDeque<(usize, u64)>,
    processes: Vec<ProcessState>,
    next_number: u64,
    changes: Changes,
    /// Somebody waits for a foreign thread to make a task ready.
    sleeping: bool,
}

impl State {
    fn is_ready(&mut self, index: usize, number: u64, woken: &Condvar) {
        self.ready.push_back((index, number));
        // Telling nobody would cost a call of the kernel each time.
        if self.sleeping {
            woken.notify_one();
        }
    }
}

/// A task that was chosen.
struct Chosen {
    index: usize,
    number: u64,
    body: Body,
    waker: Waker,
    ready: usize,
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(self: &Arc<Self>, process: Process, body: Body) {
        let priority = match self.policy {
            Policy::Priorities { .. } => priority(self.environment.draw()),
            _ => 0,
        };
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(owner) = state.processes.get_mut(process.0).filter(|owner| !owner.dead) else {
            // Dropped outside the lock: a destructor may spawn.
            drop(guard);
            return self.refuse(body);
        };
        owner.live += 1;
        let number = state.next_number;
        state.next_number += 1;
        let entry = state.tasks.vacant_entry();
        let index = entry.key();
        let core = Arc::downgrade(self);
        let handle = Arc::new(Handle { number, index, queued: AtomicBool::new(true), core });
        let waker = Waker::from(Arc::clone(&handle));
        entry.insert(Slot { number, process: process.0, priority, body: Some(body), handle, waker });
        state.is_ready(index, number, &self.woken);
    }
}

impl Core {
    /// Drops a task that nobody will poll.
    fn refuse(&self, body: Body) {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(body)));
    }

    pub(crate) fn make_ready(&self, index: usize, number: u64) {
        let mut state = self.state();
        if state.tasks.get(index).is_some_and(|slot| slot.number == number) {
            state.is_ready(index, number, &self.woken);
        }
    }

    /// Runs a blocking job at an instant that is drawn, and tells of its result when its time has passed.
    pub(crate) fn run_later(self: &Arc<Self>, process: Process, job: TimedJob) {
        let delay = between(self.environment.draw(), JOB_DELAY);
        self.at_work(process, delay, move |core| {
            let (mut job, mut tell) = (Some(job), None);
            let took = core.environment.block(&mut || tell = job.take().map(|job| job()));
            let Some(tell) = tell else { return };
            if took.is_zero() {
                return tell();
            }
            core.at_work(process, took, move |_| tell());
        });
    }

    /// Does something after `delay`, or once the process goes on if it is paused then; never if it is killed before.
    fn at_work(
        self: &Arc<Self>,
        process: Process,
        delay: Duration,
        action: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) {
        let core = Arc::downgrade(self);
        let act: Job = Box::new(move || {
            if let Some(core) = core.upgrade() {
                action(&core);
            }
        });
        let core = Arc::downgrade(self);
        let due = Box::new(move || {
            if let Some(core) = core.upgrade() {
                core.act_or_hold(process, act);
            }
        });
        self.environment.after(delay, due);
    }

    fn act_or_hold(&self, process: Process, act: Job) {
        {
            let mut state = self.state();
            match state.processes.get_mut(process.0) {
                Some(owner) if owner.paused && !owner.dead => return owner.held_jobs.push(act),
                Some(owner) if !owner.dead => {}
                _ => {
                    drop(state);
                    return drop(act);
                }
            }
        }
        act();
    }

    /// Polls one ready task; `false` when there is none.
    fn poll_one(&self) -> bool {
        let Some(Chosen { index, number, mut body, waker, ready }) = self.choose() else { return false };
        self.environment.chosen(number, ready);
        self.polls.fetch_add(1, Ordering::Relaxed);
        let mut context = Context::from_waker(&waker);
        // Tasks contain their own panics. One that escapes ends its task alone.
        let polled = catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(&mut context)));
        self.environment.spend(between(self.environment.draw(), POLL_COST));
        let ended = !matches!(polled, Ok(std::task::Poll::Pending));
        {
            let mut state = self.state();
            let state = &mut *state;
            match state.tasks.get_mut(index).filter(|slot| slot.number == number) {
                Some(slot) if !ended => {
                    slot.body = Some(body);
                    return true;
                }
                Some(slot) => {
                    if let Some(process) = state.processes.get_mut(slot.process) {
                        process.live -= 1;
                    }
                    state.tasks.remove(index);
                }
                // Killed during its own poll.
                None => {}
            }
        }
        self.refuse(body);
        true
    }

    fn choose(&self) -> Option<Chosen> {
        let mut state = self.state();
        let state = &mut *state;
        loop {
            let count = state.ready.len();
            let place = match self.policy {
                _ if count == 0 => return None,
                Policy::Fifo => 0,
                Policy::Uniform if count == 1 => 0,
                Policy::Uniform => below(self.environment.draw(), count),
                Policy::Priorities { .. } => highest(state),
            };
            let (index, number) = match self.policy {
                // Keeps the order in which tasks became ready.
                Policy::Fifo => state.ready.pop_front()?,
                _ => state.ready.swap_remove_back(place)?,
            };
            let Some(slot) = state.tasks.get_mut(index).filter(|slot| slot.number == number) else {
                continue;
            };
            if let Some(process) = state.processes.get_mut(slot.process).filter(|process| process.paused) {
                process.held.push((index, number));
                continue;
            }
            if let Policy::Priorities { changes, horizon } = self.policy {
                let draw = || self.environment.draw();
                if let Some(behind) = state.changes.after_choice(number, (changes, horizon), draw) {
                    slot.priority = behind;
                }
            }
            // Before the poll: a wake-up during it makes the task ready again.
            slot.handle.queued.store(false, Ordering::Release);
            let Some(body) = slot.body.take() else { continue };
            return Some(Chosen { index, number, body, waker: slot.waker.clone(), ready: count });
        }
    }
}

/// Where the ready task with the highest priority stands.
fn highest(state: &State) -> usize {
    let priority = |(index, _): &(usize, u64)| state.tasks.get(*index).map_or(0, |slot| slot.priority);
    let places = state.ready.iter().enumerate();
    places.max_by_key(|(_, ready)| priority(ready)).map_or(0, |(place, _)| place)
}

/// A place below `count`, from a drawn number.
fn below(drawn: u64, count: usize) -> usize {
    ((u128::from(drawn) * count as u128) >> 64) as usize
}

/// A duration within a range of nanoseconds, from a drawn number.
fn between(drawn: u64, range: std::ops::RangeInclusive<u64>) -> Duration {
    let span = range.end() - range.start() + 1;
    Duration::from_nanos(range.start() + ((u128::from(drawn) * u128::from(span)) >> 64) as u64)
}

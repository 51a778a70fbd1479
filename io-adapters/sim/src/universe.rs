//! The world that all hosts share.

use crate::alarm::AlarmState;
use crate::arena::Arena;
use crate::chance::Chance;
use crate::event::{Event, Queue};
use crate::file::Operation;
use crate::host::{Host, HostConfig, HostId, Owner};
use crate::network::link::{LinkConfig, Links, nanoseconds};
use crate::network::ports::Ports;
use crate::network::{datagram::SocketState, tcp};
use crate::trace::{Kind, Record, Recording, Trace};
use shroud_runtime::Job;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// What reading a clock costs, in nanoseconds: time passes for a task that watches the clock without a break.
const CLOCK_COST: u64 = 40;

/// How a world is made.
#[derive(Debug, Clone)]
pub struct UniverseConfig {
    /// Everything that is drawn is a function of it.
    pub seed: u64,
    /// What links between hosts are like until they are changed.
    pub link: LinkConfig,
    /// Which records are kept.
    pub recording: Recording,
}

impl UniverseConfig {
    /// A data centre's network, and no records.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, link: LinkConfig::local(), recording: Recording::Off }
    }
}

/// A simulated world: virtual time, hosts with clocks and disks, and the network between them. A cheap clone.
#[derive(Clone)]
pub struct Universe {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    /// World time in nanoseconds since the beginning.
    now: AtomicU64,
    /// When the next event is; `u64::MAX`: there is none.
    next: AtomicU64,
    /// Whether a blocking job runs, and how long it has taken so far.
    blocking: AtomicBool,
    taken: AtomicU64,
    /// The instant that stands for the time 0 of all monotonic clocks.
    base: Instant,
    state: Mutex<World>,
}

/// Everything in the world.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) queue: Queue,
    pub(crate) trace: Trace,
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: Links,
    pub(crate) ports: Ports,
    pub(crate) alarms: Arena<AlarmState>,
    pub(crate) operations: Arena<Operation>,
    pub(crate) sockets: Arena<SocketState>,
    pub(crate) listeners: Arena<tcp::ListenerState>,
    pub(crate) attempts: Arena<tcp::Attempt>,
    pub(crate) connections: Arena<tcp::Connection>,
    pub(crate) names: BTreeMap<String, Vec<IpAddr>>,
    scheduler: Chance,
    chance: Chance,
    /// Woken once the lock is free again.
    wakes: Vec<Waker>,
}

impl World {
    pub(crate) fn wake(&mut self, waker: &mut Option<Waker>) {
        self.wakes.extend(waker.take());
    }

    pub(crate) fn note(&mut self, kind: Kind, subject: u64, detail: u64) {
        self.trace.note(self.now, kind, subject, detail);
    }

    /// The host, while the run that `owner` means goes on.
    pub(crate) fn alive(&mut self, owner: Owner) -> Option<&mut Host> {
        self.hosts.get_mut(owner.host).filter(|host| host.up && host.run == owner.run)
    }

    /// The host that has an address, as `from` sees it.
    pub(crate) fn host_at(&self, from: usize, address: IpAddr) -> Option<usize> {
        if address.is_loopback() {
            return Some(from);
        }
        self.hosts.iter().position(|host| host.addresses.contains(&address))
    }

    pub(crate) fn wakes(&mut self) -> &mut Vec<Waker> {
        &mut self.wakes
    }

    fn fire(&mut self, event: Event) -> Option<Job> {
        match event {
            Event::Action(job) => return Some(job),
            Event::Alarm(key) => self.alarm_event(key),
            Event::Attempt(key) => self.attempt_arrives(key),
            Event::AttemptAgain(key) => self.send_attempt(key),
            Event::Answer { attempt, refused } => self.answer_arrives(attempt, refused),
            Event::Segment { connection, lane, length, fin } => {
                self.segment_arrives(connection, lane, length, fin)
            }
            Event::Retry { connection, lane } => self.retry(connection, lane),
            Event::Credit { connection, lane } => self.credit_arrives(connection, lane),
            Event::CreditAgain { connection, lane } => self.credit_again(connection, lane),
            Event::Reset { connection, side } => self.reset_arrives(connection, side),
            Event::Datagram(packet) => self.datagram_arrives(*packet),
            Event::Departed { socket, bytes } => self.datagram_departed(socket, bytes),
            Event::Operation(key) => self.perform(key),
            Event::OperationDone(key) => self.operation_done(key),
        }
        None
    }
}

impl Universe {
    /// A world without hosts.
    #[must_use]
    pub fn new(config: UniverseConfig) -> Self {
        let chance = Chance::new(config.seed);
        let world = World {
            now: 0,
            queue: Queue::default(),
            trace: Trace::new(config.recording),
            hosts: Vec::new(),
            links: Links::new(config.link, chance.split("network")),
            ports: Ports::default(),
            alarms: Arena::default(),
            operations: Arena::default(),
            sockets: Arena::default(),
            listeners: Arena::default(),
            attempts: Arena::default(),
            connections: Arena::default(),
            names: BTreeMap::new(),
            scheduler: chance.split("scheduler"),
            chance,
            wakes: Vec::new(),
        };
        #[allow(clippy::disallowed_methods, reason = "the one instant that all virtual time is counted from")]
        let base = Instant::now();
        let shared = Shared {
            now: AtomicU64::new(0),
            next: AtomicU64::new(u64::MAX),
            blocking: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            base,
            state: Mutex::new(world),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Does something with the world, then wakes whom that concerned.
    pub(crate) fn with<T>(&self, action: impl FnOnce(&mut World) -> T) -> T {
        let (result, wakes) = {
            let mut world = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            world.now = self.shared.now.load(Relaxed);
            let result = action(&mut world);
            self.shared.next.store(world.queue.next_time().unwrap_or(u64::MAX), Relaxed);
            (result, std::mem::take(&mut world.wakes))
        };
        for waker in wakes {
            waker.wake();
        }
        result
    }

    /// Adds a host, which is down until [`Universe::start`].
    #[must_use]
    pub fn add_host(&self, config: HostConfig) -> HostId {
        self.with(|world| {
            let number = world.hosts.len();
            let host = Host::new(number, config, &world.chance);
            world.names.insert(host.name.clone(), host.addresses.clone());
            world.hosts.push(host);
            HostId(number)
        })
    }

    /// Starts a host and gives its I/O, which ends with its next crash or stop. A host that is up goes on as it is.
    #[must_use]
    pub fn start(&self, host: HostId) -> crate::SimIo {
        let owner = self.with(|world| {
            let Some(state) = world.hosts.get_mut(host.0) else { return Owner { host: host.0, run: 0 } };
            if !state.up {
                (state.up, state.powered) = (true, true);
                state.run += 1;
            }
            let run = state.run;
            world.note(Kind::HostStarted, host.0 as u64, u64::from(run));
            Owner { host: host.0, run }
        });
        crate::SimIo::new(self.clone(), owner)
    }

    /// Cuts a host's power: what was not synced to its disk may be gone, its connections are, without a word to their
    /// peers, and nothing of its last run can do I/O any more.
    pub fn crash(&self, host: HostId) {
        self.down(host, true);
    }

    /// Ends all that a host's processes have open, as the system does when a process ends or is killed: connections are
    /// reset or closed, what was written to the disk stays.
    pub fn kill(&self, host: HostId) {
        self.down(host, false);
    }

    fn down(&self, id: HostId, power: bool) {
        self.with(|world| {
            let Some(host) = world.hosts.get_mut(id.0).filter(|host| host.up) else { return };
            let owner = Owner { host: id.0, run: host.run };
            (host.up, host.powered) = (false, !power);
            // For the trace: the sectors that a power failure left and took, and whether it was one.
            let detail = if power {
                let report = host.disk.crash(&mut host.chance);
                report.sectors_kept << 32 | report.sectors_lost << 1 | 1
            } else {
                host.disk.kill();
                0
            };
            world.note(Kind::HostCrashed, id.0 as u64, detail);
            world.drop_sockets(owner);
            world.drop_connections(owner, power);
            for key in world.alarms.keys(|alarm| alarm.owner == owner) {
                world.alarms.remove(key);
            }
            for key in world.operations.keys(|operation| operation.owner == owner) {
                world.operations.remove(key);
            }
        });
    }

    /// World time since the beginning.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.shared.now.load(Relaxed))
    }

    /// Runs `job` at a time, or now when it has passed, between two turns of the scheduler.
    pub fn at(&self, time: Duration, job: Job) {
        self.with(|world| {
            let time = nanoseconds(time).max(world.now);
            world.queue.push(time, Event::Action(job));
        });
    }

    /// Lets time pass without firing anything: in a blocking job for it alone.
    pub fn spend(&self, cost: Duration) {
        let time = if self.shared.blocking.load(Relaxed) { &self.shared.taken } else { &self.shared.now };
        time.fetch_add(nanoseconds(cost), Relaxed);
    }

    /// Runs a blocking job, and gives the time that it took: the world stands still meanwhile.
    pub fn block(&self, job: &mut dyn FnMut()) -> Duration {
        self.shared.blocking.store(true, Relaxed);
        job();
        self.shared.blocking.store(false, Relaxed);
        Duration::from_nanos(self.shared.taken.swap(0, Relaxed))
    }

    /// Fires all that is due.
    pub fn fire_due(&self) {
        while self.shared.next.load(Relaxed) <= self.shared.now.load(Relaxed) && self.fire_next() {}
    }

    /// Jumps to the next event and fires it; `false` when there is none.
    pub fn fire_next(&self) -> bool {
        let fired = self.with(|world| {
            let entry = world.queue.pop()?;
            if entry.time > world.now {
                world.now = entry.time;
                self.shared.now.store(entry.time, Relaxed);
            }
            if matches!(entry.event, Event::Action(_)) {
                world.note(Kind::JobRun, 0, 0);
            }
            Some(world.fire(entry.event))
        });
        match fired {
            Some(Some(job)) => job(),
            Some(None) => {}
            None => return false,
        }
        true
    }

    /// When the next event is.
    #[must_use]
    pub fn next_event(&self) -> Option<Duration> {
        Some(self.shared.next.load(Relaxed)).filter(|next| *next != u64::MAX).map(Duration::from_nanos)
    }

    /// The next number of the scheduler's stream.
    #[must_use]
    pub fn draw(&self) -> u64 {
        self.with(|world| world.scheduler.next_u64())
    }

    /// A stream of numbers of its own for `label`.
    #[must_use]
    pub fn chance(&self, label: &str) -> Chance {
        self.with(|world| world.chance.split(label))
    }

    /// Notes that a task is polled, chosen among `ready`.
    pub fn note_poll(&self, task: u64, ready: usize) {
        self.with(|world| world.note(Kind::TaskPolled, task, ready as u64));
    }

    /// Notes something that a scenario wants to find in the trace.
    pub fn mark(&self, subject: u64, detail: u64) {
        self.with(|world| world.note(Kind::Mark, subject, detail));
    }

    /// Notes that a host's processes are paused or go on.
    pub fn note_pause(&self, host: HostId, paused: bool) {
        let kind = if paused { Kind::HostPaused } else { Kind::HostResumed };
        self.with(|world| world.note(kind, host.0 as u64, 0));
    }

    /// The hash of everything that has happened, and of where all streams of chance stand.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.with(|world| {
            let mut streams = vec![world.scheduler.clone(), world.links.chance().clone()];
            streams.extend(world.hosts.iter().flat_map(|host| [host.chance.clone(), host.entropy.clone()]));
            let mut hasher = blake3::Hasher::new();
            hasher.update(&world.trace.hash());
            for mut stream in streams {
                hasher.update(&stream.next_u64().to_le_bytes());
            }
            *hasher.finalize().as_bytes()
        })
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.with(|world| world.trace.events())
    }

    /// The records that were kept.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.with(|world| world.trace.records())
    }

    /// What is open, for the search for leaks.
    #[must_use]
    pub fn census(&self) -> Census {
        self.with(|world| Census {
            alarms: world.alarms.len(),
            operations: world.operations.len(),
            sockets: world.sockets.len(),
            listeners: world.listeners.len(),
            attempts: world.attempts.len(),
            connections: world.connections.len(),
            files: world.hosts.iter().map(|host| host.disk.open_files()).sum(),
        })
    }

    /// Drops all events and all that is open, so that nothing keeps anything else alive.
    pub fn end(&self) {
        let events = self.with(|world| {
            world.alarms.clear();
            world.operations.clear();
            world.sockets.clear();
            world.listeners.clear();
            world.attempts.clear();
            world.connections.clear();
            world.hosts.iter_mut().for_each(|host| host.up = false);
            world.queue.take()
        });
        drop(events);
    }

    /// A host's monotonic clock.
    pub(crate) fn instant(&self, host: usize) -> Instant {
        self.spend(Duration::from_nanos(CLOCK_COST));
        let now = self.shared.now.load(Relaxed) + self.shared.taken.load(Relaxed);
        let shown = self.with(|world| world.hosts.get(host).map_or(now, |host| host.clock.monotonic(now)));
        self.shared.base + Duration::from_nanos(shown)
    }

    /// What a monotonic clock shows at `instant`.
    pub(crate) fn shown(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.shared.base))
    }
}

impl std::fmt::Debug for Universe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Universe").field("time", &self.time()).finish_non_exhaustive()
    }
}

/// What is open in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Census {
    pub alarms: usize,
    pub operations: usize,
    pub sockets: usize,
    pub listeners: usize,
    pub attempts: usize,
    pub connections: usize,
    pub files: usize,
}

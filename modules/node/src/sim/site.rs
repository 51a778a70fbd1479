//! The node's host, from its operator's side: it is started, found dead, started again; and the plan's faults strike it.

use super::plan::{Direction, Fault, Files, Planned};
use super::rot::rot;
use super::store;
use crate::node::{Node, NodeConfig};
use shroud_io_sim::chance::Chance;
use shroud_io_sim::disk::{Fault as DiskFault, FaultKind, Latencies, Latency, Place, Verb};
use shroud_runtime::{Runtime, TaskError};
use shroud_sim::{Host, LinkConfig, Program, Simulation, Universe};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the operator looks whether the node runs.
const WATCH: Duration = Duration::from_secs(1);

/// How long a sync hangs before a torn crash: longer than clients pause, so that one is under way most of the time.
const HANG: Duration = Duration::from_millis(500);

/// What runs on the node's host.
pub type Main = Arc<dyn Fn(&Host) -> Program<Result<(), String>> + Send + Sync>;

/// The node's host and what its operator knows. A cheap clone.
#[derive(Clone)]
pub struct Site {
    universe: Universe,
    host: Host,
    clients: Arc<[Host]>,
    main: Main,
    link: LinkConfig,
    state: Arc<Mutex<State>>,
}

struct State {
    program: Option<Program<Result<(), String>>>,
    /// Down on purpose until then.
    down_until: Duration,
    /// How long a node stays down that ended with an error.
    patience: Duration,
    /// Nothing is started any more.
    closed: bool,
    errors: Vec<(Duration, String)>,
    panics: Vec<String>,
    /// When the disk said that it had synced and had not.
    lied: Vec<(Duration, Duration)>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The main program of a node on the simulated disk of its host.
#[must_use]
pub fn node(config: NodeConfig, shards: usize) -> Main {
    Arc::new(move |host: &Host| {
        let at = host.clone();
        let open = move |directory: &Path| store::open(at.blocking_disk(), directory);
        let node = Node::new(NodeConfig { store: Arc::new(open), ..config.clone() }, |_| {});
        let node = node.map_err(|error| error.to_string());
        host.start(shards, move |runtime| serve(runtime, node.clone()))
    })
}

/// Runs a node; generic, so that the compiler proves `Send` for every runtime, which it cannot for a named one.
#[allow(clippy::manual_async_fn, reason = "the declared `Send` is the point")]
fn serve<R: Runtime>(
    runtime: R,
    node: Result<Node<R>, String>,
) -> impl Future<Output = Result<(), String>> + Send {
    async move { node?.run(runtime).await.map_err(|error| error.to_string()) }
}

impl Site {
    /// The site of a host on which `main` shall run.
    #[must_use]
    pub fn new(simulation: &Simulation, host: Host, clients: &[Host], main: Main, link: LinkConfig) -> Self {
        let state = State {
            program: None,
            down_until: Duration::ZERO,
            patience: Duration::ZERO,
            closed: false,
            errors: Vec::new(),
            panics: Vec::new(),
            lied: Vec::new(),
        };
        Self {
            universe: simulation.universe().clone(),
            host,
            clients: clients.into(),
            main,
            link,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the node, and looks after it from now on: one that ended with an error is started again, not more often than
    /// `patience`.
    pub fn open(&self, patience: Duration) {
        self.state().patience = patience;
        self.start();
        self.watch();
    }

    fn watch(&self) {
        if self.state().closed {
            return;
        }
        self.collect();
        let now = self.universe.time();
        let again = {
            let state = self.state();
            state.errors.last().is_none_or(|(at, _)| *at + state.patience <= now)
        };
        if again {
            self.start();
        }
        let site = self.clone();
        self.after(WATCH, move || site.watch());
    }

    /// Starts the node unless it runs or is down on purpose.
    fn start(&self) {
        self.collect();
        let now = self.universe.time();
        {
            let state = self.state();
            if state.closed || now < state.down_until || self.host.is_running() {
                return;
            }
        }
        let program = (self.main)(&self.host);
        self.state().program = Some(program);
    }

    /// Takes note of how the last program ended.
    fn collect(&self) {
        let now = self.universe.time();
        let mut state = self.state();
        let Some(program) = state.program.take_if(|program| !program.is_running()) else { return };
        for result in program.results().into_iter().flatten() {
            match result {
                Ok(Ok(())) => {}
                Ok(Err(error)) => state.errors.push((now, error)),
                // Killed.
                Err(TaskError::Cancelled) => {}
                Err(error) => state.panics.push(error.to_string()),
            }
        }
    }

    /// Stops the node in order and starts nothing any more.
    pub fn close(&self) {
        self.state().closed = true;
        self.host.stop();
    }

    /// Whether the node runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.host.is_running()
    }

    /// Errors that the node ended with, and when.
    #[must_use]
    pub fn errors(&self) -> Vec<(Duration, String)> {
        self.collect();
        self.state().errors.clone()
    }

    /// Panics that it ended with.
    #[must_use]
    pub fn panics(&self) -> Vec<String> {
        self.collect();
        self.state().panics.clone()
    }

    /// Whether it does not run, or ended not longer ago than this.
    #[must_use]
    pub fn refuses(&self, since: Duration) -> bool {
        let now = self.universe.time();
        let last = self.errors().last().map(|(at, _)| *at);
        !self.is_running() || last.is_some_and(|at| at + since > now)
    }

    /// From when to when syncs were acknowledged and not done, where that came to light or may have.
    #[must_use]
    pub fn lied(&self) -> Vec<(Duration, Duration)> {
        self.state().lied.clone()
    }

    fn after(&self, delay: Duration, action: impl FnOnce() + Send + 'static) {
        self.universe.at(self.universe.time() + delay, Box::new(action));
    }

    /// Has a plan carried out.
    pub fn carry_out(&self, plan: &[Planned]) {
        for planned in plan.iter().cloned() {
            let site = self.clone();
            self.universe.at(planned.at, Box::new(move || site.strike(&planned.fault)));
        }
    }

    fn strike(&self, fault: &Fault) {
        match fault {
            Fault::Crash { down } => {
                self.host.crash();
                self.down_for(*down);
            }
            Fault::Kill { down } => {
                self.host.kill();
                self.down_for(*down);
            }
            Fault::Stop { down } => {
                self.host.stop();
                self.down_for(*down);
            }
            Fault::Pause { lasts } => self.host.pause(*lasts),
            Fault::Partition { client, direction, lasts } => {
                let both = |up| {
                    move |to: &mut LinkConfig, from: &mut LinkConfig, direction: Direction| {
                        if direction != Direction::FromNode {
                            to.up = up;
                        }
                        if direction != Direction::ToNode {
                            from.up = up;
                        }
                    }
                };
                let direction = *direction;
                self.change_link(*client, move |to, from| both(false)(to, from, direction));
                let (site, client) = (self.clone(), *client);
                self.after(*lasts, move || {
                    site.change_link(client, move |to, from| both(true)(to, from, direction))
                });
            }
            Fault::BadLink { client, latency, bandwidth, loss, lasts } => {
                let bad = LinkConfig {
                    latency: *latency,
                    jitter: *latency,
                    bandwidth: Some(*bandwidth),
                    loss: *loss,
                    ..self.link
                };
                self.replace_link(*client, bad);
                let (site, client) = (self.clone(), *client);
                self.after(*lasts, move || site.replace_link(client, site.link));
            }
            Fault::SlowDisk { by, lasts } => {
                self.set_latencies(slower(*by));
                let site = self.clone();
                self.after(*lasts, move || site.set_latencies(Latencies::default()));
            }
            Fault::TornCrash { hung, down } => {
                let normal = Latencies::default();
                self.set_latencies(Latencies { sync: longer(normal.sync, HANG), ..normal });
                let (site, down) = (self.clone(), *down);
                self.after(*hung, move || {
                    site.set_latencies(Latencies::default());
                    site.host.crash();
                    site.down_for(down);
                });
            }
            Fault::DiskFull { spare, lasts } => {
                let spare = *spare;
                self.disk(move |disk| disk.set_capacity(Some(disk.used().saturating_add(spare))));
                let site = self.clone();
                self.after(*lasts, move || {
                    site.disk(|disk| disk.set_capacity(None));
                    site.restart();
                });
            }
            Fault::SyncError { restart } => {
                self.arm(journal(FaultKind::SyncError));
                self.disarm_after(*restart, |kind| matches!(kind, FaultKind::SyncError));
                let site = self.clone();
                self.after(*restart, move || site.restart());
            }
            Fault::WriteError { restart } => {
                self.arm(journal(FaultKind::WriteError { bytes: 0..u64::MAX }));
                self.disarm_after(*restart, |kind| matches!(kind, FaultKind::WriteError { .. }));
                let site = self.clone();
                self.after(*restart, move || site.restart());
            }
            Fault::SyncStall { by, lasts } => {
                let stall = FaultKind::Stall { verb: Some(Verb::Sync), duration: *by };
                self.arm(DiskFault::always(stall).at(place(Files::Journal)));
                self.disarm_after(*lasts, |kind| matches!(kind, FaultKind::Stall { .. }));
            }
            Fault::BitRot { spot, down } => {
                self.host.crash();
                let mut chance = Chance::new(*spot);
                self.disk(|disk| rot(disk, &mut chance));
                self.down_for(*down);
            }
            Fault::Misdirected { files, lasts } => {
                self.arm(DiskFault::once(FaultKind::MisdirectedWrite).at(place(*files)));
                self.disarm_after(*lasts, |kind| matches!(kind, FaultKind::MisdirectedWrite));
                self.crash_after(*lasts);
            }
            Fault::LostSyncs { files, lasts } => {
                let from = self.universe.time();
                self.arm(DiskFault::always(FaultKind::LostSync).at(place(*files)));
                self.disarm_after(*lasts, |kind| matches!(kind, FaultKind::LostSync));
                self.state().lied.push((from, from + *lasts));
                self.crash_after(*lasts);
            }
            Fault::ClockJump { milliseconds } => {
                self.universe.jump_clock(self.host.id(), milliseconds.saturating_mul(1_000_000));
            }
        }
    }

    fn crash_after(&self, delay: Duration) {
        let site = self.clone();
        self.after(delay, move || {
            site.host.crash();
            site.down_for(WATCH);
        });
    }

    /// Drops what the system shows and the disk does not have.
    pub fn drop_caches(&self) {
        self.disk(shroud_sim::disk::Disk::drop_caches);
    }

    /// Keeps the node down, and starts it once it has ended and the time is over.
    fn down_for(&self, down: Duration) {
        let until = self.universe.time() + down;
        let mut state = self.state();
        state.down_until = state.down_until.max(until);
        drop(state);
        let site = self.clone();
        self.after(down, move || site.start());
    }

    /// What an operator does with a node that has failed.
    fn restart(&self) {
        self.host.kill();
        self.start();
    }

    fn change_link(&self, client: usize, change: impl FnOnce(&mut LinkConfig, &mut LinkConfig) + Clone) {
        let Some(client) = self.clients.get(client) else { return };
        let mut unused = self.link;
        self.universe.change_link(client.id(), self.host.id(), |to| change.clone()(to, &mut unused));
        self.universe.change_link(self.host.id(), client.id(), |from| change(&mut unused, from));
    }

    fn replace_link(&self, client: usize, with: LinkConfig) {
        self.change_link(client, move |to, from| {
            // Partitions come and go on their own.
            (*to, *from) = (LinkConfig { up: to.up, ..with }, LinkConfig { up: from.up, ..with });
        });
    }

    fn disk(&self, action: impl FnOnce(&mut shroud_sim::disk::Disk)) {
        let _ = self.universe.disk(self.host.id(), action);
    }

    fn set_latencies(&self, latencies: Latencies) {
        self.disk(|disk| disk.set_latencies(latencies));
    }

    fn arm(&self, fault: DiskFault) {
        self.disk(|disk| disk.arm(fault));
    }

    fn disarm_after(&self, lasts: Duration, goes: fn(&FaultKind) -> bool) {
        let site = self.clone();
        self.after(lasts, move || site.disk(|disk| disk.disarm(|fault| goes(&fault.kind))));
    }
}

/// A disk that takes longer for everything.
fn slower(by: Duration) -> Latencies {
    let normal = Latencies::default();
    Latencies {
        names: longer(normal.names, by),
        read: longer(normal.read, by),
        write: longer(normal.write, by),
        space: longer(normal.space, by),
        sync: longer(normal.sync, by),
        ..normal
    }
}

fn longer(latency: Latency, by: Duration) -> Latency {
    Latency { minimum: latency.minimum + by, maximum: latency.maximum + by, ..latency }
}

fn place(files: Files) -> Place {
    match files {
        Files::Journal => Place::NameEnds(".journal".into()),
        Files::Store => Place::Under("/data/state".into()),
        Files::All => Place::Anywhere,
    }
}

/// A fault that strikes a journal segment once.
fn journal(kind: FaultKind) -> DiskFault {
    DiskFault::once(kind).at(Place::NameEnds(".journal".into()))
}

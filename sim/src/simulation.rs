//! A simulation.

use crate::environment::World;
use crate::host::{Host, Run};
use crate::outcome::{Outcome, Verdict};
use shroud_executor_sim::{Policy, Scheduler, Turn};
use shroud_io_sim::{HostConfig, LinkConfig, Recording, Universe, UniverseConfig};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a simulation is made.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Everything that is drawn is a function of it.
    pub seed: u64,
    /// How the next task is chosen.
    pub policy: Policy,
    /// What links between hosts are like until they are changed.
    pub link: LinkConfig,
    /// Which records of the run are kept.
    pub recording: Recording,
    /// How long, in real time, to wait for a foreign thread to wake a task before a deadlock is declared. Zero, except
    /// where threads outside of the simulation take part; such a run is not reproducible.
    pub patience: Duration,
}

impl SimConfig {
    /// Uniform choices, a data centre's network, no records.
    #[must_use]
    pub const fn seed(seed: u64) -> Self {
        Self {
            seed,
            policy: Policy::Uniform,
            link: LinkConfig::local(),
            recording: Recording::Off,
            patience: Duration::ZERO,
        }
    }
}

/// A simulation: a world and all that runs in it. Everything stops where it stands when this is dropped.
pub struct Simulation {
    shared: Arc<Shared>,
    patience: Duration,
}

pub(crate) struct Shared {
    pub(crate) universe: Universe,
    pub(crate) scheduler: Scheduler,
    runs: Mutex<Vec<Run>>,
}

impl Shared {
    pub(crate) fn runs(&self) -> MutexGuard<'_, Vec<Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Simulation {
    /// A world without hosts.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        let SimConfig { seed, policy, link, recording, patience } = config;
        let universe = Universe::new(UniverseConfig { seed, link, recording });
        let scheduler = Scheduler::new(Arc::new(World(universe.clone())), policy);
        Self { shared: Arc::new(Shared { universe, scheduler, runs: Mutex::default() }), patience }
    }

    /// Adds a host, on which nothing runs yet.
    #[must_use]
    pub fn host(&self, config: HostConfig) -> Host {
        let id = self.shared.universe.add_host(config);
        Host::new(Arc::clone(&self.shared), id)
    }

    /// The world: links, clocks, disks, names, records.
    #[must_use]
    pub fn universe(&self) -> &Universe {
        &self.shared.universe
    }

    /// Does something at a virtual time since the beginning, between two turns: a step of a plan of faults.
    pub fn at(&self, time: Duration, action: impl FnOnce() + Send + 'static) {
        self.shared.universe.at(time, Box::new(action));
    }

    /// Runs while `going` says yes; it is asked before each turn.
    pub fn run_while(&self, mut going: impl FnMut() -> bool) -> Outcome {
        let verdict = loop {
            if !going() {
                break Verdict::Done;
            }
            if self.shared.scheduler.turn() == Turn::Idle
                && (self.patience.is_zero() || !self.shared.scheduler.wait_for_foreign_wake(self.patience))
            {
                break Verdict::Deadlock(self.waiting());
            }
        };
        self.outcome(verdict)
    }

    /// Runs until a virtual time since the beginning.
    pub fn run_until(&self, time: Duration) -> Outcome {
        // So that there is something to jump to.
        self.at(time, || {});
        self.run_while(|| self.shared.universe.time() < time)
    }

    /// Runs for a virtual time.
    pub fn run_for(&self, duration: Duration) -> Outcome {
        self.run_until(self.shared.universe.time() + duration)
    }

    /// Runs until no program is left.
    pub fn run_to_end(&self) -> Outcome {
        self.run_while(|| self.shared.runs().iter().any(Run::is_running))
    }

    /// How the run stands.
    #[must_use]
    pub fn outcome(&self, verdict: Verdict) -> Outcome {
        let universe = &self.shared.universe;
        let hash = universe.hash().iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let polls = self.shared.scheduler.polls();
        Outcome { verdict, hash, time: universe.time(), events: universe.events(), polls }
    }

    /// The live tasks of all hosts.
    #[must_use]
    pub fn waiting(&self) -> String {
        self.shared.runs().iter().filter(|run| run.is_running()).map(Run::dump).collect()
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        let hosts: Vec<_> = self.shared.runs().iter().map(Run::host).collect();
        for host in hosts {
            Host::new(Arc::clone(&self.shared), host).kill();
        }
        self.shared.universe.end();
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation").field("universe", &self.shared.universe).finish_non_exhaustive()
    }
}

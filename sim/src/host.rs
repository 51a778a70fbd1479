//! A simulated host, from outside.

use crate::SimRuntime;
use crate::backend::capabilities;
use crate::program::Program;
use crate::simulation::Shared;
use shroud_executor_sim::Process;
use shroud_io_sim::{BlockingDisk, HostId};
use shroud_runtime::compose::World;
use shroud_runtime::task::Tree;
use shroud_runtime::{CancellationToken, Composed, Config, Executor, Runtime, Shard, Topology};
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A simulated host. A cheap clone, which tasks and planned actions may keep.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
    id: HostId,
}

/// The last program of a host.
pub(crate) struct Run {
    host: HostId,
    process: Process,
    running: bool,
    stop: CancellationToken,
    trees: Vec<Arc<Tree>>,
    name: Arc<str>,
    crashed: Arc<dyn Fn() + Send + Sync>,
}

impl Run {
    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    pub(crate) fn host(&self) -> HostId {
        self.host
    }

    pub(crate) fn dump(&self) -> String {
        let trees: String = self.trees.iter().map(|tree| tree.dump()).collect();
        format!("{} ({}):\n{trees}", self.name, self.host)
    }
}

impl Host {
    pub(crate) fn new(shared: Arc<Shared>, id: HostId) -> Self {
        Self { shared, id }
    }

    /// Its number, for what is done to links, clocks and disks.
    #[must_use]
    pub fn id(&self) -> HostId {
        self.id
    }

    /// Its first address.
    ///
    /// # Panics
    /// Never: every host has one.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.shared.universe.addresses(self.id).first().copied().unwrap_or(IpAddr::from([127, 0, 0, 1]))
    }

    /// Starts a program: `main` once on each of so many shards. A program that still runs here is killed first.
    pub fn start<M, F, T>(&self, shards: usize, main: M) -> Program<T>
    where
        M: Fn(SimRuntime) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        self.start_with(&Config::single().cores(shards), main)
    }

    /// Starts a program as [`Host::start`] does, with its number of shards, its stop and its drain deadline as configured.
    pub fn start_with<M, F, T>(&self, config: &Config, main: M) -> Program<T>
    where
        M: Fn(SimRuntime) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        self.kill();
        let count = config.cores.get();
        let program = Program::new(count, config.stop.clone());
        let io = self.shared.universe.start(self.id);
        let process = self.shared.scheduler.process();
        let executor = self.shared.scheduler.executor(process);
        let world = World::new(config.stop.clone());
        let runtimes: Vec<SimRuntime> = (0..count)
            .map(|index| {
                let shard = Shard { index, count, workers: 1, topology: Topology::PerCore };
                Composed::new("sim", executor.clone(), io.clone(), shard, capabilities(), &world)
            })
            .collect();
        let ended = Arc::clone(&program.shared);
        let run = Run {
            host: self.id,
            process,
            running: true,
            stop: config.stop.clone(),
            trees: runtimes.iter().map(|runtime| Arc::clone(runtime.tree())).collect(),
            name: self.shared.universe.host_name(self.id).into(),
            crashed: Arc::new(move || ended.crashed()),
        };
        {
            let mut runs = self.shared.runs();
            runs.retain(|run| run.host != self.id);
            runs.push(run);
        }
        for (index, runtime) in runtimes.into_iter().enumerate() {
            let (config, main) = (config.clone(), main.clone());
            let (host, program) = (self.clone(), program.clone());
            executor.execute(async move {
                // Inside a task, so that a panic before its first await is the task's as well.
                let result = runtime.run_main(&config, move |rt| async move { main(rt).await }).await;
                if program.shared.put(index, result) {
                    host.kill();
                }
            });
        }
        program
    }

    /// Its disk, for code that blocks; called from its program, which it serves until that ends.
    #[must_use]
    pub fn blocking_disk(&self) -> BlockingDisk {
        self.shared.universe.blocking_disk(self.id)
    }

    /// Asks its program to stop, as a signal would.
    pub fn stop(&self) {
        let stop = self.shared.runs().iter().find(|run| run.host == self.id).map(|run| run.stop.clone());
        if let Some(stop) = stop {
            stop.cancel();
        }
    }

    /// Cuts its power: tasks end where they stand, connections are gone without a word, what was not synced may be lost.
    pub fn crash(&self) {
        self.shared.universe.crash(self.id);
        self.end();
    }

    /// Kills its program as `kill -9` does: tasks end where they stand, the system closes what was open, and what was
    /// written stays.
    pub fn kill(&self) {
        self.shared.universe.kill(self.id);
        self.end();
    }

    fn end(&self) {
        let ended = {
            let mut runs = self.shared.runs();
            let run = runs.iter_mut().find(|run| run.host == self.id && run.running);
            run.map(|run| {
                run.running = false;
                (run.process, Arc::clone(&run.crashed))
            })
        };
        if let Some((process, crashed)) = ended {
            crashed();
            self.shared.scheduler.kill(process);
        }
    }

    /// Stops all its tasks for a while, as a machine does that is suspended or starved; its system answers meanwhile.
    pub fn pause(&self, duration: Duration) {
        let found =
            self.shared.runs().iter().find(|run| run.host == self.id && run.running).map(|run| run.process);
        let Some(process) = found else { return };
        self.shared.scheduler.pause(process);
        self.shared.universe.note_pause(self.id, true);
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let resume = move || {
            shared.universe.note_pause(id, false);
            shared.scheduler.resume(process);
        };
        self.shared.universe.at(self.shared.universe.time() + duration, Box::new(resume));
    }

    /// Whether a program runs on it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.shared.runs().iter().any(|run| run.host == self.id && run.running)
    }

    /// The task trees of its last program.
    #[must_use]
    pub fn trees(&self) -> Vec<Arc<Tree>> {
        self.shared
            .runs()
            .iter()
            .find(|run| run.host == self.id)
            .map(|run| run.trees.clone())
            .unwrap_or_default()
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("id", &self.id).finish_non_exhaustive()
    }
}

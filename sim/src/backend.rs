//! One simulated host as a backend.

use crate::{SimConfig, SimRuntime, Simulation};
use shroud_io_sim::{DATAGRAM_CAPABILITIES, HostConfig};
use shroud_runtime::{Backend, Capabilities, Config, StartError, TaskError, Topology, Unavailable};
use std::future::Future;
use std::time::Duration;

/// How long a deadlock must last, in real time, before it is one: foreign threads may take part in what a backend runs.
const PATIENCE: Duration = Duration::from_secs(20);

/// `sim`: a simulated host with one shard a core, all on the calling thread, in virtual time. Each run is a world of its
/// own. For many hosts and for faults, use [`Simulation`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sim {
    /// Everything that is drawn is a function of it.
    pub seed: u64,
}

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        topology: Topology::PerCore,
        executor: "one thread, order drawn from a seed",
        reactor: "virtual time",
        files: "simulated disk",
        datagram: DATAGRAM_CAPABILITIES,
    }
}

impl Backend for Sim {
    type Runtime = SimRuntime;

    fn name(&self) -> &'static str {
        "sim"
    }

    fn probe(&self) -> Result<Capabilities, Unavailable> {
        Ok(capabilities())
    }

    /// As [`Backend::run`]. A deadlock ends it: each main that has not ended is reported as panicked, with the tasks that wait.
    fn run<M, F, T>(&self, config: &Config, main: M) -> Result<Vec<Result<T, TaskError>>, StartError>
    where
        M: Fn(SimRuntime) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let simulation = Simulation::new(SimConfig { patience: PATIENCE, ..SimConfig::seed(self.seed) });
        let program = simulation.host(HostConfig::new("host")).start_with(config, main);
        let outcome = simulation.run_while(|| program.is_running());
        let missing =
            |result: Option<_>| result.unwrap_or_else(|| Err(TaskError::Panicked(outcome.to_string())));
        Ok(program.results().into_iter().map(missing).collect())
    }
}

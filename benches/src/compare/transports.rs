//! The transports of one run: a server that does nothing else, and each workload on it.

use super::CompareError;
use super::server::Launch;
use super::slot::phase_result;
use crate::affinity;
use crate::report::PhaseResult;
use crate::transport::{Drive, Identity, Served, measure};
use crate::workload::{Kind, Lengths, PhasePlan, Purpose};
use std::process::Command;
use std::time::Duration;

/// Who asks, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Transports<'a> {
    pub(crate) client: &'a dyn Drive,
    pub(crate) identity: &'a Identity,
    pub(crate) lengths: &'a Lengths,
}

impl Transports<'_> {
    /// All of them on a backend, in a fresh process; the client is held on `client_cpus` unless there are none.
    pub(crate) fn run(
        &self,
        launch: &Launch<'_>,
        client_cpus: &[usize],
        backend: &str,
        progress: &mut dyn FnMut(&PhasePlan),
    ) -> Result<Vec<PhaseResult>, CompareError> {
        let mut command = Command::new(launch.program);
        command.args(["transport-server", "--backend", backend]);
        let started = Served::start(command, launch.cpus, self.identity);
        let served = started.map_err(|error| CompareError::Start {
            backend: backend.to_owned(),
            reason: error.to_string(),
        })?;
        let _pinned = match client_cpus {
            [] => None,
            cpus => {
                Some(affinity::pin(cpus).map_err(CompareError::io("holding the client on its processors"))?)
            }
        };
        let lengths = vec![Duration::from_secs_f64(self.lengths.transport_block); self.lengths.blocks];
        let warm_up = Duration::from_secs_f64(self.lengths.transport_warm_up);
        let mut phases = Vec::new();
        for kind in Kind::TRANSPORT {
            let Some(workload) = kind.transport() else { continue };
            let plan = PhasePlan { kind, purpose: Purpose::Capacity, operations: 0 };
            progress(&plan);
            let blocks = measure(self.client, workload, &served, self.identity, warm_up, &lengths);
            let blocks = blocks.map_err(|error| CompareError::Transport {
                backend: backend.to_owned(),
                workload: kind.name().to_owned(),
                reason: error.to_string(),
            })?;
            phases.extend(
                blocks.iter().map(|block| phase_result(&plan, &block.outcome, &block.used, None, None)),
            );
        }
        Ok(phases)
    }
}

//! One run: start, set up, all phases, checks, stop.

use super::CompareError;
use super::server::{Launch, Server};
use super::transports::Transports;
use crate::affinity;
use crate::load::{Client, Outcome, Rpc};
use crate::proc::UsageDelta;
use crate::report::{PhaseResult, Probe, Seen, Slot};
use crate::rng::Rng;
use crate::workload::{
    CLOSED_CONNECTIONS, Kind, OPEN_CONNECTIONS, Phase, PhasePlan, Purpose, READ_COUNT, WorkSet,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Each request is sent when the one before it has been answered.
const DEPTH: usize = 1;

/// One run's setting.
pub(crate) struct SlotPlan<'a> {
    pub(crate) launch: Launch<'a>,
    /// The processors of the client's thread; not held when empty.
    pub(crate) client_cpus: &'a [usize],
    pub(crate) work: &'a WorkSet,
    pub(crate) backend: &'a str,
    pub(crate) round: u32,
    pub(crate) again: bool,
    pub(crate) seed: u64,
    /// What is measured after the node has stopped.
    pub(crate) transports: Option<Transports<'a>>,
}

/// Runs it; `progress` is told of each phase before it starts.
pub(crate) fn run(plan: &SlotPlan<'_>, progress: &mut dyn FnMut(&PhasePlan)) -> Result<Slot, CompareError> {
    let server = plan.launch.start(plan.backend, &plan.work.genesis)?;
    // The node was started before this, so that it does not inherit the client's processors.
    let pinned = match plan.client_cpus {
        [] => None,
        cpus => Some(affinity::pin(cpus).map_err(CompareError::io("holding the client on its processors"))?),
    };
    let mut session = Session::new(&server, plan)?;
    session.deploy()?;
    let memory_start = server.process.memory().map_err(CompareError::io("the node's memory"))?;
    let mut phases = Vec::new();
    let (mut probes, mut waited) = (Vec::<Probe>::new(), Duration::ZERO);
    let kept_waiting = || {
        let waited = server.process.kept_waiting(is_worker);
        waited.map_err(CompareError::io("how long the node's threads waited for a processor"))
    };
    for phase in &plan.work.phases {
        progress(&phase.plan);
        let purpose = phase.plan.purpose;
        if purpose != Purpose::WarmUp && probes.last().is_none_or(|probe| probe.purpose != purpose) {
            session.reset_probe()?;
            waited = kept_waiting()?;
            probes.push(Probe { purpose, off_cpu_us: 0.0, seen: Seen::default() });
        }
        let result = session.phase(phase)?;
        if phase.plan.purpose != Purpose::WarmUp {
            phases.push(result);
        }
        if let Some(probe) = probes.last_mut() {
            probe.seen = session.probe()?;
            let waited = kept_waiting()?.saturating_sub(waited);
            probe.off_cpu_us = waited.as_secs_f64() * 1e6;
        }
    }
    session.check_counter()?;
    let usage = server.process.usage().map_err(CompareError::io("the node's threads"))?;
    let (height, commitment) = session.commitment()?;
    let slot = Slot {
        round: plan.round,
        backend: plan.backend.to_owned(),
        again: plan.again,
        start_ms: server.start_time.as_secs_f64() * 1e3,
        stop_ms: 0.0,
        phases,
        memory_start,
        memory_end: server.process.memory().map_err(CompareError::io("the node's memory"))?,
        threads: usage.threads,
        descriptors: server.process.descriptors().map_err(CompareError::io("the node's descriptors"))?,
        probes,
        height,
        transactions: plan.work.transactions,
        commitment,
    };
    drop(session);
    let stopped = server.stop()?;
    let mut slot = Slot { stop_ms: stopped.as_secs_f64() * 1e3, ..slot };
    if let Some(transports) = &plan.transports {
        // The next server must not inherit the client's processors.
        drop(pinned);
        slot.phases.extend(transports.run(&plan.launch, plan.client_cpus, plan.backend, progress)?);
    }
    Ok(slot)
}

/// Whether a thread of the node polls tasks: those are numbered.
fn is_worker(thread: &str) -> bool {
    thread.strip_prefix("shroud-").is_some_and(|number| number.parse::<usize>().is_ok())
}

struct Session<'a> {
    server: &'a Server,
    work: &'a WorkSet,
    rpc: Rpc,
    client: Client,
    rng: Rng,
    /// The best closed-loop rate of each workload so far in this run.
    capacity: BTreeMap<Kind, Vec<f64>>,
}

impl<'a> Session<'a> {
    fn new(server: &'a Server, plan: &SlotPlan<'a>) -> Result<Self, CompareError> {
        let connections = CLOSED_CONNECTIONS.max(OPEN_CONNECTIONS);
        Ok(Self {
            server,
            work: plan.work,
            rpc: Rpc::connect(server.address).map_err(CompareError::io("connecting to the node"))?,
            client: Client::connect(server.address, connections)
                .map_err(CompareError::io("connecting to the node"))?,
            // The same arrivals for every backend of a round.
            rng: Rng::new(plan.seed).fork(&format!("arrivals of round {}", plan.round)),
            capacity: BTreeMap::new(),
        })
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value, CompareError> {
        let called = self.rpc.call(method, params);
        called.map_err(|source| CompareError::Rpc { backend: self.server.backend().to_owned(), source })
    }

    fn wrong_state(&self, reason: String) -> CompareError {
        CompareError::State { backend: self.server.backend().to_owned(), reason }
    }

    fn deploy(&mut self) -> Result<(), CompareError> {
        let receipt = self.call("shroud_sendTransaction", &json!([self.work.deployment.raw]))?;
        if receipt["status"] == "0x1" && receipt["hash"] == *self.work.deployment.hash {
            return Ok(());
        }
        Err(self.wrong_state(format!("the counter was not deployed: {receipt}")))
    }

    fn phase(&mut self, phase: &Phase) -> Result<PhaseResult, CompareError> {
        let plan = &phase.plan;
        let usage = || self.server.process.usage().map_err(CompareError::io("the node's processor time"));
        let height_before = if plan.kind.durable() { Some(self.commitment()?.0) } else { None };
        let before = usage()?;
        let offered = match plan.purpose {
            Purpose::Latency { percent } => Some(self.capacity(plan.kind) * f64::from(percent) / 100.0),
            Purpose::WarmUp | Purpose::Capacity => None,
        };
        let outcome = match offered {
            Some(rate) => self.client.open_loop(&phase.work, rate, &mut self.rng),
            None => self.client.closed_loop(&phase.work, DEPTH),
        };
        let outcome = outcome.map_err(|source| CompareError::Load {
            backend: self.server.backend().to_owned(),
            phase: describe(plan),
            // Why a node broke a connection is in its log, if anywhere.
            source: match (source, self.server.last_words()) {
                (crate::load::LoadError::Connection { connection, done, source }, words)
                    if !words.is_empty() =>
                {
                    let source = std::io::Error::new(source.kind(), format!("{source}{words}"));
                    crate::load::LoadError::Connection { connection, done, source }
                }
                (source, _) => source,
            },
        })?;
        let after = self.server.process.usage().map_err(CompareError::io("the node's processor time"))?;
        if outcome.errors > 0 {
            return Err(CompareError::Wrong {
                backend: self.server.backend().to_owned(),
                phase: describe(plan),
                errors: outcome.errors,
                first: outcome.first_error.unwrap_or_default(),
            });
        }
        let used = self.server.process.between(&before, &after);
        let blocks = match height_before {
            Some(height) => Some(self.commitment()?.0.saturating_sub(height)),
            None => None,
        };
        let result = phase_result(plan, &outcome, &used, offered, blocks);
        if plan.purpose == Purpose::Capacity {
            self.capacity.entry(plan.kind).or_default().push(result.throughput);
        }
        Ok(result)
    }

    fn capacity(&self, kind: Kind) -> f64 {
        let rates = self.capacity.get(&kind).map(Vec::as_slice).unwrap_or_default();
        // Without a capacity phase of this workload, something harmless: plans made here always have one.
        crate::stats::median(rates).unwrap_or(100.0)
    }

    /// Every call has added one, and no call was lost or done twice.
    fn check_counter(&mut self) -> Result<(), CompareError> {
        let contract = self.work.deployment.contract.to_string();
        let outcome = self.call("shroud_viewCall", &json!([{ "to": contract, "data": READ_COUNT }]))?;
        let count = outcome["output"]
            .as_str()
            .and_then(|text| hex::decode(text.trim_start_matches("0x")).ok())
            .and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        if count == Some(self.work.counter_calls) {
            return Ok(());
        }
        Err(self.wrong_state(format!("after {} calls the counter says {outcome}", self.work.counter_calls)))
    }

    fn commitment(&mut self) -> Result<(u64, String), CompareError> {
        let value = self.call("shroud_stateCommitment", &json!([]))?;
        let height = value["height"].as_u64().or_else(|| {
            let text = value["height"].as_str()?;
            u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
        });
        match (height, value["commitment"].as_str()) {
            (Some(height), Some(commitment)) => Ok((height, commitment.to_owned())),
            _ => Err(self.wrong_state(format!("no state commitment: {value}"))),
        }
    }

    fn reset_probe(&mut self) -> Result<(), CompareError> {
        let reset = self.rpc.post("/debug/probe/reset");
        reset
            .map(drop)
            .map_err(|source| CompareError::Rpc { backend: self.server.backend().to_owned(), source })
    }

    fn probe(&mut self) -> Result<Seen, CompareError> {
        let body = self.rpc.get("/debug/probe");
        let body =
            body.map_err(|source| CompareError::Rpc { backend: self.server.backend().to_owned(), source })?;
        serde_json::from_slice(&body)
            .map_err(|error| self.wrong_state(format!("the probe's answer is not understood: {error}")))
    }
}

/// A phase in words, for progress and errors.
pub(crate) fn describe(plan: &PhasePlan) -> String {
    match plan.purpose {
        Purpose::WarmUp => format!("{}, warm-up", plan.kind.name()),
        Purpose::Capacity => format!("{}, capacity", plan.kind.name()),
        Purpose::Latency { percent } => format!("{}, {percent}% load", plan.kind.name()),
    }
}

pub(crate) fn phase_result(
    plan: &PhasePlan,
    outcome: &Outcome,
    used: &UsageDelta,
    offered: Option<f64>,
    blocks: Option<u64>,
) -> PhaseResult {
    let operations = outcome.operations.max(1) as f64;
    let seconds = outcome.elapsed.as_secs_f64().max(1e-9);
    let tag = describe(plan);
    PhaseResult {
        kind: plan.kind,
        purpose: plan.purpose,
        operations: outcome.operations,
        seconds,
        offered,
        throughput: outcome.operations as f64 / seconds,
        cpu_us: used.cpu_nanos as f64 / 1e3 / operations,
        user_share: used.user_share,
        voluntary: used.voluntary_switches as f64 / operations,
        involuntary: used.involuntary_switches as f64 / operations,
        batch: blocks.map(|blocks| outcome.operations as f64 / blocks.max(1) as f64),
        client_busy: outcome.client_cpu.as_secs_f64() / seconds,
        client_lag_us: offered.map(|_| outcome.lag.percentiles().p99_us),
        latency: outcome.latencies.percentiles(),
        ladder: outcome.latencies.ladder(),
        hdr: outcome.latencies.log_line(&tag, Duration::ZERO, outcome.elapsed),
    }
}

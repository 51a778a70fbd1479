//! From options to a report: floors, calibration, rounds, the run on all cores, judgement.

use super::progress::Progress;
use super::server::Launch;
use super::slot::{self, SlotPlan, describe};
use super::transports::Transports;
use super::{CompareError, Options, machine};
use crate::proc::MachineLoad;
use crate::report::{Report, Slot, Summary};
use crate::stats::median;
use crate::transport::{Drive, Identity, KeyExchange};
use crate::workload::{CLOSED_CONNECTIONS, Kind, OPEN_CONNECTIONS, Plan, Purpose, WorkSet};
use crate::{affinity, floors};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time of each floor.
const FLOOR_TIME: (Duration, Duration) = (Duration::from_millis(120), Duration::from_millis(400));
/// Seconds of durable transfers on all cores, and of the warm-up before.
const ALL_CORES: (f64, f64) = (0.4, 1.5);
/// Seconds that a run on all cores takes with everything around it.
const ALL_CORES_EACH: Duration = Duration::from_millis(3_500);
/// A client that is busier than this may be what limits a closed loop.
const CLIENT_LIMIT: f64 = 0.9;
/// A client that is later than this by itself shows in the latencies, in microseconds.
const LAG_LIMIT: f64 = 1_000.0;
/// Load average per processor above which the machine does other work too.
const BUSY_LOAD: f64 = 0.5;
/// Stolen share of time that is worth a note.
const STEAL_LIMIT: f64 = 0.02;

pub(crate) fn run(options: &Options, client: Option<&dyn Drive>) -> Result<Report, CompareError> {
    let started = Instant::now();
    let base = options.backends.first().ok_or(CompareError::NoBackend)?;
    let scratch = scratch(options)?;
    let mut compare = Compare::new(options, base, scratch.path(), started);
    compare.report.floors = compare.floors()?;
    let capacity = compare.calibrate()?;
    compare.progress.step("signing the work");
    let plan = Plan::measured(options.lengths(), &capacity);
    let work = WorkSet::build(options.seed, &plan).map_err(CompareError::Work)?;
    let identity = Identity::generate(KeyExchange::X25519).map_err(CompareError::Work)?;
    let lengths = options.lengths();
    compare.transports = client.map(|client| Transports { client, identity: &identity, lengths });
    compare.rounds(&work);
    compare.transports = None;
    drop(work);
    if !options.quick {
        compare.all_cores(capacity(Kind::Transfer))?;
    }
    Ok(compare.finish())
}

fn scratch(options: &Options) -> Result<tempfile::TempDir, CompareError> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("shroud-compare-");
    let made = match &options.scratch {
        Some(directory) => builder.tempdir_in(directory),
        None => builder.tempdir(),
    };
    made.map_err(CompareError::io("a directory for the nodes' data"))
}

struct Compare<'a> {
    options: &'a Options,
    base: &'a str,
    scratch: &'a Path,
    started: Instant,
    progress: Progress,
    report: Report,
    /// Backends that have not failed, in the order of tables.
    alive: Vec<String>,
    /// What every run of the rounds measures besides the node.
    transports: Option<Transports<'a>>,
}

impl<'a> Compare<'a> {
    fn new(options: &'a Options, base: &'a str, scratch: &'a Path, started: Instant) -> Self {
        let mut metadata = machine::metadata(options);
        // One core for the server and another for the client, where there are two.
        if let Ok([server, client, ..]) = affinity::allowed().as_deref() {
            metadata.server_cpus = vec![*server];
            metadata.client_cpus = vec![*client];
        }
        metadata.connections = (CLOSED_CONNECTIONS, OPEN_CONNECTIONS);
        let report = Report {
            metadata,
            floors: Vec::new(),
            backends: options.backends.clone(),
            skipped: options.skipped.clone(),
            slots: Vec::new(),
            all_cores: Vec::new(),
            failures: Vec::new(),
            notes: Vec::new(),
            summary: Summary::default(),
        };
        let mut progress = Progress::new();
        let rounds = u64::from(options.planned_rounds());
        let backends = options.backends.len() as u64;
        // Floors, calibration, signing; the rounds; all cores.
        progress.expect(3 + rounds * (backends + 1) + if options.quick { 0 } else { backends });
        Self {
            options,
            base,
            scratch,
            started,
            progress,
            report,
            alive: options.backends.clone(),
            transports: None,
        }
    }

    fn floors(&mut self) -> Result<Vec<crate::report::Floor>, CompareError> {
        self.progress.step("measuring floors: loopback, signatures, handshakes, sync, contract engine");
        let time = if self.options.quick { FLOOR_TIME.0 } else { FLOOR_TIME.1 };
        let measured = floors::measure(self.scratch, time, self.options.seed);
        measured.map_err(|error| CompareError::Work(error.to_string()))
    }

    /// A short run of the base: how much this machine can do, so that phases take the time they should.
    fn calibrate(&mut self) -> Result<impl Fn(Kind) -> f64 + use<>, CompareError> {
        self.progress.step(&format!("calibrating on {}", self.base));
        let work = WorkSet::build(self.options.seed, &Plan::calibration()).map_err(CompareError::Work)?;
        let cpus = self.report.metadata.server_cpus.clone();
        let slot = self.slot(&work, self.base, 0, false, &cpus, 1)?;
        let rates: Vec<(Kind, f64)> =
            slot.phases.iter().map(|phase| (phase.kind, phase.throughput)).collect();
        Ok(move |kind| rates.iter().find(|rate| rate.0 == kind).map_or(1_000.0, |rate| rate.1))
    }

    fn slot(
        &self,
        work: &WorkSet,
        backend: &str,
        round: u32,
        again: bool,
        cpus: &[usize],
        cores: usize,
    ) -> Result<Slot, CompareError> {
        let client_cpus = if cpus.is_empty() { &[] } else { self.report.metadata.client_cpus.as_slice() };
        let plan = SlotPlan {
            launch: Launch { program: &self.options.program, scratch: self.scratch, cpus, cores },
            client_cpus,
            work,
            backend,
            round,
            again,
            seed: self.options.seed,
            transports: self.transports,
        };
        let label = format!("{backend}, round {}", round + 1);
        slot::run(&plan, &mut |phase| self.progress.detail(&format!("{label}: {}", describe(phase))))
    }

    /// All rounds, or as many as the budget allows. A backend that fails is not tried again.
    fn rounds(&mut self, work: &WorkSet) {
        let planned = self.options.planned_rounds();
        for round in 0..planned {
            let began = Instant::now();
            for (backend, again) in order(&self.alive, self.base, round) {
                if !self.alive.contains(&backend) {
                    continue;
                }
                let twice = if again { ", again for the noise floor" } else { "" };
                self.progress.step(&format!("round {} of {planned}: {backend}{twice}", round + 1));
                let cpus = self.report.metadata.server_cpus.clone();
                match self.slot(work, &backend, round, again, &cpus, 1) {
                    Ok(slot) => self.report.slots.push(slot),
                    Err(error) => self.fail(&backend, &error),
                }
            }
            self.report.metadata.rounds = round + 1;
            if round + 1 < planned && !self.time_for(began.elapsed()) {
                let note = format!("{} of {planned} rounds: the time budget was used up", round + 1);
                self.progress.note(&note);
                self.report.notes.push(note);
                break;
            }
        }
    }

    /// Whether another round that takes as long as the last fits into the budget, and the runs on all cores after it.
    fn time_for(&self, round: Duration) -> bool {
        let after =
            if self.options.quick { Duration::ZERO } else { ALL_CORES_EACH * self.alive.len() as u32 };
        self.options.budget().is_none_or(|budget| self.started.elapsed() + round + after <= budget)
    }

    fn all_cores(&mut self, capacity: f64) -> Result<(), CompareError> {
        let cores = affinity::allowed().map_or(1, |cpus| cpus.len());
        let count = |seconds: f64| (capacity * seconds) as usize;
        let plan = Plan::transfers(count(ALL_CORES.0), count(ALL_CORES.1));
        let work = WorkSet::build(self.options.seed, &plan).map_err(CompareError::Work)?;
        for backend in self.alive.clone() {
            self.progress.step(&format!("durable transfers on {cores} cores: {backend}"));
            match self.slot(&work, &backend, 0, false, &[], cores) {
                Ok(slot) => self.report.all_cores.push(slot),
                Err(error) => self.fail(&backend, &error),
            }
        }
        Ok(())
    }

    fn fail(&mut self, backend: &str, error: &CompareError) {
        let failure = error.to_string();
        self.progress.note(&format!("failed: {failure}"));
        self.report.failures.push(failure);
        self.alive.retain(|alive| alive != backend);
    }

    fn finish(self) -> Report {
        let mut report = self.report;
        let metadata = &mut report.metadata;
        metadata.after = MachineLoad::read();
        metadata.steal = metadata.after.steal_since(&metadata.before);
        metadata.seconds = self.started.elapsed().as_secs_f64();
        check_commitments(&mut report);
        check_machine(&mut report);
        check_client(&mut report);
        report.summary = Summary::new(&report);
        report
    }
}

/// The order of a round: rotated by one each time, with the base's second run half a round away from its first.
fn order(backends: &[String], base: &str, round: u32) -> Vec<(String, bool)> {
    let mut order: Vec<(String, bool)> = backends.iter().map(|backend| (backend.clone(), false)).collect();
    let count = order.len();
    if count == 0 {
        return order;
    }
    order.rotate_left(round as usize % count);
    if let Some(position) = order.iter().position(|(backend, _)| backend == base) {
        let away = (position + count.div_ceil(2)) % (count + 1);
        order.insert(away, (base.to_owned(), true));
    }
    order
}

/// The same transactions must make the same state, on every backend and in every round.
fn check_commitments(report: &mut Report) {
    for (slots, what) in [(&report.slots, ""), (&report.all_cores, " on all cores")] {
        let Some(first) = slots.first() else { continue };
        for slot in slots.iter().filter(|slot| slot.commitment != first.commitment) {
            report.failures.push(format!(
                "the state commitment of {} in round {}{what} is {}, that of {} in round {} is {}",
                slot.backend,
                slot.round + 1,
                slot.commitment,
                first.backend,
                first.round + 1,
                first.commitment
            ));
        }
    }
}

/// A machine that does other work too gives numbers of little worth, and nothing else would tell.
fn check_machine(report: &mut Report) {
    let metadata = &report.metadata;
    let cores = metadata.machine.as_ref().map_or(1, |machine| machine.cores) as f64;
    if metadata.before.load > BUSY_LOAD * cores {
        let load = metadata.before.load;
        report.notes.push(format!(
            "the machine was busy when this began (load {load:.2}): other work is in these numbers"
        ));
    }
    if metadata.steal > STEAL_LIMIT {
        let steal = metadata.steal * 100.0;
        report.notes.push(format!("the hypervisor gave {steal:.1}% of the time to others"));
    }
}

fn check_client(report: &mut Report) {
    let phases = || report.slots.iter().flat_map(|slot| &slot.phases);
    for kind in Kind::ALL {
        let of_kind = || phases().filter(|phase| phase.kind == kind);
        let busy: Vec<f64> = of_kind()
            .filter(|phase| phase.purpose == Purpose::Capacity)
            .map(|phase| phase.client_busy)
            .collect();
        if let Some(busy) = median(&busy).filter(|busy| *busy > CLIENT_LIMIT) {
            report.notes.push(format!(
                "{}: the client was {:.0}% busy, so that it may limit the throughput; CPU per operation is not touched by it",
                kind.name(),
                busy * 100.0
            ));
        }
        let lag: Vec<f64> = of_kind().filter_map(|phase| phase.client_lag_us).collect();
        if let Some(lag) = median(&lag).filter(|lag| *lag > LAG_LIMIT) {
            report.notes.push(format!(
                "{}: the client itself was up to {:.1} ms late at p99, which the latencies contain",
                kind.name(),
                lag / 1e3
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn every_backend_runs_once_and_the_base_twice_not_in_a_row() {
        let backends: Vec<String> = ["a", "b", "c", "d", "e", "f"].map(String::from).into();
        for round in 0..7 {
            let order = order(&backends, "a", round);
            assert_eq!(order.len(), 7);
            for backend in &backends {
                assert_eq!(order.iter().filter(|(name, again)| name == backend && !again).count(), 1);
            }
            let bases: Vec<usize> = (0..7).filter(|i| order[*i].0 == "a").collect();
            assert!(bases.len() == 2 && bases[1] - bases[0] >= 3, "round {round}: {order:?}");
        }
        assert_eq!(order(&backends[..1], "a", 0), [("a".to_owned(), false), ("a".to_owned(), true)]);
        assert_eq!(order(&[], "a", 0), []);
        assert_eq!(order(&backends, "z", 1).len(), 6);
    }
}

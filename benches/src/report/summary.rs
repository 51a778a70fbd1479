//! Medians, intervals and ratios of a comparison.

use super::blocking::Blocking;
use super::model::{PhaseResult, Report, Slot};
use crate::histogram::Percentiles;
use crate::stats::{Interval, NoiseFloor, Ratio, Verdict, bootstrap_median, median, paired_ratio};
use crate::workload::{Kind, Purpose};
use serde::{Deserialize, Serialize};

/// The percentage of capacity whose latencies stand in tables.
pub(crate) const TABLE_PERCENT: u32 = 50;

/// All that tables show.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The backend that others are compared with.
    pub base: String,
    /// What the base differs by from itself in server CPU per operation, by workload.
    pub noise: Vec<(Kind, NoiseFloor)>,
    /// One for each backend that ran, in the order of tables.
    pub backends: Vec<BackendSummary>,
}

/// What is known of a backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendSummary {
    /// Its name.
    pub backend: String,
    /// One for each workload.
    pub cells: Vec<Cell>,
    /// Proportional memory after the start, in bytes (median of runs).
    pub pss_start: f64,
    /// Proportional memory after the load, in bytes (median of runs).
    pub pss_end: f64,
    /// The most that was resident in any run, in bytes.
    pub peak_rss: u64,
    /// Threads.
    pub threads: f64,
    /// Whether its threads were blocked: at capacity, then at each load of the open loop.
    pub blocking: Vec<Blocking>,
    /// Start of the process until it listens, in milliseconds (median of runs).
    pub start_ms: f64,
    /// Durable transfers a second with all cores.
    pub all_cores: Option<f64>,
    /// Server CPU of such a transfer, in microseconds.
    pub all_cores_cpu_us: Option<f64>,
    /// The state commitment that its runs ended in; `None` when they differ.
    pub commitment: Option<String>,
}

/// A backend under a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The workload.
    pub kind: Kind,
    /// Operations a second in the closed loop.
    pub throughput: Interval,
    /// Server CPU of an operation in the closed loop, in microseconds.
    pub cpu_us: Interval,
    /// The share of it in user mode, 0 to 1.
    pub user_share: f64,
    /// Context switches of the server for an operation.
    pub switches: f64,
    /// Transactions of one synced batch.
    pub batch: Option<f64>,
    /// Latency in the closed loop.
    pub closed: Percentiles,
    /// Latency in the open loop at half of the capacity.
    pub open: Option<Percentiles>,
    /// CPU of an operation compared with the base's in the same block of the same round.
    pub ratio: Option<Ratio>,
    /// Whether that is more or less, beyond noise.
    pub verdict: Option<Verdict>,
    /// CPU of an operation as a multiple of the floors it contains.
    pub floors: Option<f64>,
}

impl Summary {
    /// Sums up a report's runs.
    #[must_use]
    pub fn new(report: &Report) -> Self {
        let base = report.backends.first().cloned().unwrap_or_default();
        let pairs = |kind| paired_costs(report, &base, kind, |slot| slot.backend == base && slot.again);
        let noise: Vec<(Kind, NoiseFloor)> = Kind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, NoiseFloor::from_pairs(&pairs(kind))?)))
            .collect();
        let backends =
            report.backends.iter().filter_map(|name| backend(report, name, &base, &noise)).collect();
        Self { base, noise, backends }
    }

    /// The noise floor of a workload.
    #[must_use]
    pub fn noise(&self, kind: Kind) -> Option<NoiseFloor> {
        self.noise.iter().find(|(of, _)| *of == kind).map(|(_, floor)| *floor)
    }
}

impl BackendSummary {
    /// What its threads did during the phases of a purpose.
    #[must_use]
    pub fn blocking(&self, purpose: Purpose) -> Option<&Blocking> {
        self.blocking.iter().find(|blocking| blocking.purpose == purpose)
    }

    /// The cell of a workload.
    #[must_use]
    pub fn cell(&self, kind: Kind) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.kind == kind)
    }
}

/// The measured runs of a backend, without the second runs of the base.
pub(crate) fn runs<'a>(report: &'a Report, backend: &'a str) -> impl Iterator<Item = &'a Slot> + Clone {
    report.slots.iter().filter(move |slot| slot.backend == backend && !slot.again)
}

/// The closed-loop blocks of a workload in a run.
pub(crate) fn blocks(slot: &Slot, kind: Kind) -> impl Iterator<Item = &PhaseResult> + Clone {
    slot.phases.iter().filter(move |phase| phase.kind == kind && phase.purpose == Purpose::Capacity)
}

/// CPU of an operation in the chosen runs and in the base's run of the same round, block by block.
fn paired_costs(report: &Report, base: &str, kind: Kind, chosen: impl Fn(&Slot) -> bool) -> Vec<(f64, f64)> {
    let mut pairs = Vec::new();
    for slot in report.slots.iter().filter(|slot| chosen(slot)) {
        let Some(other) = runs(report, base).find(|other| other.round == slot.round) else { continue };
        pairs.extend(blocks(slot, kind).zip(blocks(other, kind)).map(|(a, b)| (a.cpu_us, b.cpu_us)));
    }
    pairs
}

fn backend(report: &Report, name: &str, base: &str, noise: &[(Kind, NoiseFloor)]) -> Option<BackendSummary> {
    let slots = runs(report, name);
    let first = slots.clone().next()?;
    let of = |value: &dyn Fn(&Slot) -> f64| {
        median(&slots.clone().map(value).collect::<Vec<_>>()).unwrap_or(f64::NAN)
    };
    let mut purposes: Vec<Purpose> = Vec::new();
    for probe in &first.probes {
        if !purposes.contains(&probe.purpose) {
            purposes.push(probe.purpose);
        }
    }
    let all_cores =
        report.all_cores.iter().find(|slot| slot.backend == name).and_then(|slot| slot.phases.first());
    let same = slots.clone().all(|slot| slot.commitment == first.commitment);
    Some(BackendSummary {
        backend: name.to_owned(),
        cells: Kind::ALL.into_iter().filter_map(|kind| cell(report, name, base, kind, noise)).collect(),
        pss_start: of(&|slot| slot.memory_start.pss as f64),
        pss_end: of(&|slot| slot.memory_end.pss as f64),
        peak_rss: slots.clone().map(|slot| slot.memory_end.peak_rss).max().unwrap_or(0),
        threads: of(&|slot| slot.threads as f64),
        blocking: purposes.into_iter().filter_map(|purpose| Blocking::of(report, name, purpose)).collect(),
        start_ms: of(&|slot| slot.start_ms),
        all_cores: all_cores.map(|phase| phase.throughput),
        all_cores_cpu_us: all_cores.map(|phase| phase.cpu_us),
        commitment: same.then(|| first.commitment.clone()),
    })
}

fn cell(report: &Report, name: &str, base: &str, kind: Kind, noise: &[(Kind, NoiseFloor)]) -> Option<Cell> {
    let seed = report.metadata.seed;
    let samples: Vec<&PhaseResult> = runs(report, name).flat_map(|slot| blocks(slot, kind)).collect();
    let of =
        |value: &dyn Fn(&PhaseResult) -> f64| samples.iter().map(|phase| value(phase)).collect::<Vec<_>>();
    let middle = |value: &dyn Fn(&PhaseResult) -> f64| median(&of(value)).unwrap_or(f64::NAN);
    let batches: Vec<f64> = samples.iter().filter_map(|phase| phase.batch).collect();
    let ratio = (name != base)
        .then(|| paired_costs(report, base, kind, |slot| slot.backend == name && !slot.again))
        .and_then(|pairs| paired_ratio(&pairs, seed));
    let noise = noise.iter().find(|(of, _)| *of == kind).map(|(_, floor)| floor);
    let floor: f64 =
        report.floors.iter().filter(|floor| floor.of.contains(&kind)).map(|floor| floor.micros).sum();
    let cpu_us = bootstrap_median(&of(&|phase| phase.cpu_us), seed)?;
    let open: Vec<&PhaseResult> = runs(report, name)
        .flat_map(|slot| &slot.phases)
        .filter(|phase| phase.kind == kind && phase.purpose == Purpose::Latency { percent: TABLE_PERCENT })
        .collect();
    Some(Cell {
        kind,
        throughput: bootstrap_median(&of(&|phase| phase.throughput), seed)?,
        cpu_us,
        user_share: middle(&|phase| phase.user_share),
        switches: middle(&|phase| phase.voluntary + phase.involuntary),
        batch: median(&batches),
        closed: percentiles(&samples)?,
        open: percentiles(&open),
        ratio,
        verdict: ratio.zip(noise).map(|(ratio, noise)| noise.judge(&ratio)),
        floors: (floor > 0.0).then(|| cpu_us.median / floor),
    })
}

/// The median of each percentile over phases.
fn percentiles(phases: &[&PhaseResult]) -> Option<Percentiles> {
    let of = |value: &dyn Fn(&Percentiles) -> f64| {
        median(&phases.iter().map(|phase| value(&phase.latency)).collect::<Vec<_>>())
    };
    Some(Percentiles {
        count: phases.iter().map(|phase| phase.latency.count).sum(),
        mean_us: of(&|latency| latency.mean_us)?,
        p50_us: of(&|latency| latency.p50_us)?,
        p90_us: of(&|latency| latency.p90_us)?,
        p99_us: of(&|latency| latency.p99_us)?,
        p999_us: of(&|latency| latency.p999_us)?,
        max_us: of(&|latency| latency.max_us)?,
    })
}

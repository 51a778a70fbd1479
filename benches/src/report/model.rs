//! The raw data of a comparison: what `report.json` holds.

use crate::histogram::Percentiles;
use crate::proc::{Machine, MachineLoad, Memory};
use crate::workload::{Kind, Purpose};
use serde::{Deserialize, Serialize};

/// A whole comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Where, when and how.
    pub metadata: Metadata,
    /// What was measured in the same session without a node.
    pub floors: Vec<Floor>,
    /// The backends that ran, in the order of tables; the first is the base of ratios.
    pub backends: Vec<String>,
    /// The backends that this machine could not run.
    pub skipped: Vec<Skipped>,
    /// Every run of a node on one core, in the order they were made.
    pub slots: Vec<Slot>,
    /// Runs of durable transfers with all cores, one for each backend, when they were made.
    pub all_cores: Vec<Slot>,
    /// What went wrong; empty when all is well.
    pub failures: Vec<String>,
    /// What a reader should know before trusting a number.
    pub notes: Vec<String>,
    /// Medians, intervals, ratios.
    pub summary: super::Summary,
}

/// Where, when and how the data came to be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of the package that was measured.
    pub version: String,
    /// The commit, when it is known.
    pub commit: Option<String>,
    /// Hash of `Cargo.lock`, when it is known.
    pub lock_hash: Option<String>,
    /// The compiler, when it is known.
    pub rustc: Option<String>,
    /// Build profile and flags.
    pub build: String,
    /// The command line.
    pub command: Vec<String>,
    /// Seconds since 1970 at the start.
    pub started_unix: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether it was the short form.
    pub quick: bool,
    /// The seed of keys, arrivals and resampling.
    pub seed: u64,
    /// Rounds that were made.
    pub rounds: u32,
    /// Rounds that were planned.
    pub rounds_planned: u32,
    /// The processors the server was held on; empty when it was not.
    pub server_cpus: Vec<usize>,
    /// The processors the client was held on; empty when it was not.
    pub client_cpus: Vec<usize>,
    /// Connections of closed and open loops.
    pub connections: (usize, usize),
    /// The machine.
    pub machine: Option<Machine>,
    /// Its load before.
    pub before: MachineLoad,
    /// Its load after.
    pub after: MachineLoad,
    /// The share of processor time that the hypervisor gave to others meanwhile, 0 to 1.
    pub steal: f64,
}

/// Something that no node can be faster than.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// What was done.
    pub name: String,
    /// How long one takes, in microseconds (median of several blocks).
    pub micros: f64,
    /// What the number means.
    pub note: String,
    /// The workloads whose cost holds this at least once.
    pub of: Vec<Kind>,
}

/// A backend that did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub backend: String,
    /// Why, in one line.
    pub reason: String,
}

/// One run: a fresh process in a fresh directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Slot {
    /// Which round, from 0.
    pub round: u32,
    /// Which backend.
    pub backend: String,
    /// The second run of the first backend in this round: for the noise floor only.
    pub again: bool,
    /// From starting the process until it listened, in milliseconds.
    pub start_ms: f64,
    /// From SIGTERM until the process had ended, in milliseconds.
    pub stop_ms: f64,
    /// The phases.
    pub phases: Vec<PhaseResult>,
    /// Memory when it had started.
    pub memory_start: Memory,
    /// Memory after all phases.
    pub memory_end: Memory,
    /// Threads after all phases.
    pub threads: u64,
    /// Descriptors after all phases, with the client's connections.
    pub descriptors: usize,
    /// What the node's own probe saw: once over all capacity phases, once for each load of the open loop; never the warm-up.
    pub probes: Vec<Probe>,
    /// Height of the chain at the end: how many batches were synced.
    pub height: u64,
    /// Transactions that were applied.
    pub transactions: u64,
    /// The state commitment at the end.
    pub commitment: String,
}

/// What the node's probe (`/debug/probe`) saw during the phases of one purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Which phases.
    pub purpose: Purpose,
    /// How long the threads that poll tasks were ready to run while the kernel ran others, summed, in microseconds: the node's own
    /// blocking threads, or other processes. It is in the polls and delays that were running meanwhile.
    pub off_cpu_us: f64,
    /// What it saw.
    #[serde(flatten)]
    pub seen: Seen,
}

/// What the node's probe answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// For how long, in seconds.
    pub seconds: f64,
    /// Threads that poll tasks.
    pub threads: usize,
    /// How long ready tasks waited to be polled.
    pub delay: Delay,
    /// How long single polls took.
    pub polls: Polls,
}

/// Scheduling delay, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delay {
    /// Samples.
    pub samples: u64,
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// The histogram: upper edge and number of samples of each bucket that holds any.
    pub buckets: Vec<(f64, u64)>,
}

/// Durations of single polls, in microseconds of wall time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Polls {
    /// All polls.
    pub polls: u64,
    /// Shorter polls are not told apart: a percentile of this much means "this or less".
    pub at_most_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// The task with the longest.
    pub longest: Option<String>,
    /// Polls of more than 1 ms: each held its thread for so long.
    pub blocking: u64,
    /// What those took beyond 1 ms, summed.
    pub excess_us: f64,
    /// The histogram of polls of `at_most_us` and more: upper edge and number of polls of each bucket that holds any.
    pub buckets: Vec<(f64, u64)>,
    /// The tasks with the longest polls.
    pub tasks: Vec<TaskPolls>,
}

/// The long polls of one kind of task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskPolls {
    /// The tasks' name.
    pub name: String,
    /// The tasks' class.
    pub class: String,
    /// Polls of 64 us and more.
    pub long: u64,
    /// Polls of more than 1 ms.
    pub blocking: u64,
    /// The longest, in microseconds.
    pub max_us: f64,
}

/// One phase of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PhaseResult {
    /// The workload.
    pub kind: Kind,
    /// What it was for.
    pub purpose: Purpose,
    /// Requests answered.
    pub operations: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Requests a second that were meant to arrive (open loop only).
    pub offered: Option<f64>,
    /// Requests answered a second.
    pub throughput: f64,
    /// Server processor time for one request, in microseconds.
    pub cpu_us: f64,
    /// The share of it in user mode, 0 to 1.
    pub user_share: f64,
    /// Voluntary context switches of the server for one request.
    pub voluntary: f64,
    /// Involuntary ones.
    pub involuntary: f64,
    /// Transactions in one batch (one block, one sync), for durable workloads.
    pub batch: Option<f64>,
    /// How busy the client's thread was, 0 to 1.
    pub client_busy: f64,
    /// How late the client was by itself at the 99th percentile, in microseconds (open loop only).
    pub client_lag_us: Option<f64>,
    /// Latencies.
    pub latency: Percentiles,
    /// Points (percentile, microseconds) of the latency distribution.
    pub ladder: Vec<(f64, f64)>,
    /// The histogram of latencies in nanoseconds, as a line of an HdrHistogram log.
    pub hdr: String,
}

//! What is compared, and how long it may take.

use crate::report::Skipped;
use crate::workload::Lengths;
use std::path::PathBuf;
use std::time::Duration;

/// What is compared and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `shroud` program: started as `PROGRAM node --backend ...`, and as `PROGRAM transport-server --backend ...`.
    pub program: PathBuf,
    /// The backends to run, in the order of tables. The first is the base of ratios and runs twice.
    pub backends: Vec<String>,
    /// The backends that cannot run here, to be named in the report.
    pub skipped: Vec<Skipped>,
    /// The short form: one round, 50% of capacity only, about a minute with six backends.
    pub quick: bool,
    /// How many rounds; by default 1 in the short form and 3 otherwise. Given rounds are made however long they take; the
    /// default ones end early when the time budget is used up.
    pub rounds: Option<u32>,
    /// Of keys, arrivals and resampling.
    pub seed: u64,
    /// Where the nodes' data goes (a directory inside it, removed afterwards); by default the system's temporary directory.
    /// It must be on the disk whose syncs are to be measured, not in memory.
    pub scratch: Option<PathBuf>,
    /// The command line, for the report.
    pub command: Vec<String>,
    /// Version of the program.
    pub version: String,
}

/// Seconds that the short form may take, from start to end.
const QUICK_BUDGET: Duration = Duration::from_secs(56);
/// Seconds that the default form may take.
const FULL_BUDGET: Duration = Duration::from_secs(285);

/// Phases of the short form: about five seconds a run.
const QUICK: Lengths = Lengths {
    warm_up: 0.6,
    blocks: 2,
    block: 0.22,
    latency_percents: &[50],
    latency_durable: 0.9,
    latency_read: 0.5,
    transport_warm_up: 0.06,
    transport_block: 0.12,
};

/// Phases of the default form: about nine seconds a run.
const FULL: Lengths = Lengths {
    warm_up: 0.8,
    blocks: 3,
    block: 0.25,
    latency_percents: &[25, 50, 75, 90],
    latency_durable: 0.7,
    latency_read: 0.4,
    transport_warm_up: 0.06,
    transport_block: 0.1,
};

impl Options {
    pub(crate) fn lengths(&self) -> &'static Lengths {
        if self.quick { &QUICK } else { &FULL }
    }

    pub(crate) fn planned_rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 }).max(1)
    }

    /// How long it may take; `None` when the caller has named the rounds.
    pub(crate) fn budget(&self) -> Option<Duration> {
        match self.rounds {
            Some(_) => None,
            None => Some(if self.quick { QUICK_BUDGET } else { FULL_BUDGET }),
        }
    }
}

//! How a run ended.

use std::fmt;
use std::time::Duration;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why it ended.
    pub verdict: Verdict,
    /// The hash of everything that happened, as hexadecimal: the schedule, every draw, all bytes in and out.
    pub hash: String,
    /// Virtual time since the beginning.
    pub time: Duration,
    /// Events of the world: polls, deliveries, operations.
    pub events: u64,
    /// Polls of tasks.
    pub polls: u64,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// What was waited for came about.
    Done,
    /// Nothing could ever happen again: no task was ready, and no event was left. Says which tasks wait.
    Deadlock(String),
}

impl Outcome {
    /// Whether what was waited for came about.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.verdict == Verdict::Done
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, hash, time, events, polls } = self;
        write!(f, "{time:?} of virtual time, {events} events, {polls} polls, hash {hash}")?;
        match verdict {
            Verdict::Deadlock(waiting) => write!(f, "\ndeadlock: nothing can ever happen again\n{waiting}"),
            Verdict::Done => Ok(()),
        }
    }
}

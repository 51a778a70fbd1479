//! What is counted: per kind (name and class) over all time, and per live task.

use super::polls::LongPolls;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a task works for; metrics are grouped by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Anything else.
    #[default]
    General,
    /// Connections and listeners.
    Network,
    /// Contract execution.
    Contract,
    /// Ordering and applying transactions.
    Transaction,
    /// Caches.
    Cache,
    /// Cryptography.
    Crypto,
    /// Name resolution.
    Dns,
    /// Wallet work.
    Wallet,
    /// Audits.
    Audit,
    /// Probes and metrics.
    Monitoring,
}

impl Class {
    /// The name used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Network => "network",
            Self::Contract => "contract",
            Self::Transaction => "transaction",
            Self::Cache => "cache",
            Self::Crypto => "crypto",
            Self::Dns => "dns",
            Self::Wallet => "wallet",
            Self::Audit => "audit",
            Self::Monitoring => "monitoring",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Totals of all tasks of one name and class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindStats {
    /// The tasks' name.
    pub name: &'static str,
    /// The tasks' class.
    pub class: Class,
    /// Ever spawned.
    pub spawned: u64,
    /// Not ended yet.
    pub live: u64,
    /// Ended with a result.
    pub completed: u64,
    /// Ended by a panic.
    pub failed: u64,
    /// Ended by cancellation.
    pub cancelled: u64,
    /// Polls of ended and live tasks.
    pub polls: u64,
    /// Time spent inside polls.
    pub busy: Duration,
    /// The longest single poll.
    pub longest_poll: Duration,
}

/// One live task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Unique within its shard, in order of spawning.
    pub id: u64,
    /// Its parent's id; `None` for children of the root.
    pub parent: Option<u64>,
    /// How deep in the tree; 0 for children of the root.
    pub depth: usize,
    /// Its name.
    pub name: &'static str,
    /// Its class.
    pub class: Class,
    /// Polls so far.
    pub polls: u64,
    /// Time spent inside polls so far.
    pub busy: Duration,
    /// The longest single poll so far.
    pub longest_poll: Duration,
    /// Whether it has been asked to end.
    pub cancelled: bool,
    /// Whether its body has ended and it waits for its children.
    pub closing: bool,
}

/// How a task's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Failed,
    Cancelled,
}

/// The counters of one kind.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    spawned: AtomicU64,
    live: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    polls: AtomicU64,
    busy: AtomicU64,
    longest: AtomicU64,
    pub(crate) long_polls: LongPolls,
}

impl Kind {
    pub(crate) fn new(name: &'static str, class: Class) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            name,
            class,
            spawned: zero(),
            live: zero(),
            completed: zero(),
            failed: zero(),
            cancelled: zero(),
            polls: zero(),
            busy: zero(),
            longest: zero(),
            long_polls: LongPolls::default(),
        }
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Relaxed)
    }

    pub(crate) fn spawned(&self) {
        self.spawned.fetch_add(1, Relaxed);
        self.live.fetch_add(1, Relaxed);
    }

    pub(crate) fn ended(&self, ending: Ending, work: &Work) {
        self.live.fetch_sub(1, Relaxed);
        match ending {
            Ending::Completed => &self.completed,
            Ending::Failed => &self.failed,
            Ending::Cancelled => &self.cancelled,
        }
        .fetch_add(1, Relaxed);
        self.polls.fetch_add(work.polls(), Relaxed);
        self.busy.fetch_add(work.busy.load(Relaxed), Relaxed);
        self.longest.fetch_max(work.longest.load(Relaxed), Relaxed);
    }

    pub(crate) fn stats(&self) -> KindStats {
        KindStats {
            name: self.name,
            class: self.class,
            spawned: self.spawned.load(Relaxed),
            live: self.live.load(Relaxed),
            completed: self.completed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            polls: self.polls.load(Relaxed),
            busy: Duration::from_nanos(self.busy.load(Relaxed)),
            longest_poll: Duration::from_nanos(self.longest.load(Relaxed)),
        }
    }
}

/// What one task has done. Written only by whoever polls it, so plain loads and stores are enough.
#[derive(Debug, Default)]
pub(crate) struct Work {
    polls: AtomicU64,
    busy: AtomicU64,
    longest: AtomicU64,
}

impl Work {
    pub(crate) fn polled(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.polls.store(self.polls.load(Relaxed) + 1, Relaxed);
        self.busy.store(self.busy.load(Relaxed).saturating_add(nanos), Relaxed);
        if nanos > self.longest.load(Relaxed) {
            self.longest.store(nanos, Relaxed);
        }
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Relaxed)
    }

    pub(crate) fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy.load(Relaxed))
    }

    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Relaxed))
    }
}

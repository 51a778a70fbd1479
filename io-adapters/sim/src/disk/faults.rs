//! The plan of what goes wrong on a disk.

use super::latency::{Latencies, Verb};
use crate::chance::{Chance, Rate};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a disk behaves: how long it takes, how much it holds, and what goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskFaults {
    /// How long each verb takes.
    pub latencies: Latencies,
    /// Bytes that files may take; `None`: no limit.
    pub capacity: Option<u64>,
    /// What goes wrong. When several could, the first one that strikes counts.
    pub faults: Vec<Fault>,
}

/// Something that goes wrong, where, how often, and how many times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// On which files.
    pub place: Place,
    /// How likely each time that it could.
    pub rate: Rate,
    /// How many times it could before it does for the first time.
    pub after: u64,
    /// At most so many times; `None`: until it is disarmed.
    pub times: Option<u32>,
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// A verb (any, when `None`) takes so much longer.
    Stall {
        /// Which.
        verb: Option<Verb>,
        /// How much longer.
        duration: Duration,
    },
    /// Reads that touch these bytes fail with EIO.
    ReadError {
        /// Bytes of the file.
        bytes: Range<u64>,
    },
    /// Writes that touch these bytes fail with EIO; a part of the sectors may have been written.
    WriteError {
        /// Bytes of the file.
        bytes: Range<u64>,
    },
    /// A sync fails with EIO. What it was to make durable is partly on the disk, and the rest is lost: readers see it, later
    /// syncs succeed without it, and a crash shows that it is gone. A directory's sync fails and does nothing.
    SyncError,
    /// A sync reports success and does nothing.
    LostSync,
    /// A write's sectors land elsewhere in the same file. Readers do not notice before the cache is dropped.
    MisdirectedWrite,
}

/// Which files a fault strikes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// All.
    #[default]
    Anywhere,
    /// This file or directory and what is inside it.
    Under(PathBuf),
    /// Files whose name ends with this.
    NameEnds(String),
}

impl Fault {
    /// It happens once, the first time that it could, anywhere.
    #[must_use]
    pub const fn once(kind: FaultKind) -> Self {
        Self { kind, place: Place::Anywhere, rate: Rate::ALWAYS, after: 0, times: Some(1) }
    }

    /// It happens every time, anywhere, until it is disarmed.
    #[must_use]
    pub fn always(kind: FaultKind) -> Self {
        Self { times: None, ..Self::once(kind) }
    }

    /// It happens at a rate, anywhere, until it is disarmed.
    #[must_use]
    pub fn sometimes(kind: FaultKind, rate: Rate) -> Self {
        Self { rate, ..Self::always(kind) }
    }

    /// On these files only.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Not the first so many times that it could.
    #[must_use]
    pub fn after(self, after: u64) -> Self {
        Self { after, ..self }
    }
}

impl FaultKind {
    /// Its name, for statistics and traces.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stall { .. } => "stall",
            Self::ReadError { .. } => "read-error",
            Self::WriteError { .. } => "write-error",
            Self::SyncError => "sync-error",
            Self::LostSync => "lost-sync",
            Self::MisdirectedWrite => "misdirected-write",
        }
    }

    fn concerns(&self, verb: Verb, range: &Range<u64>) -> bool {
        let touches = |bytes: &Range<u64>| bytes.start < range.end && range.start < bytes.end;
        match self {
            Self::Stall { verb: stalled, .. } => stalled.is_none_or(|stalled| stalled == verb),
            Self::ReadError { bytes } => verb == Verb::Read && touches(bytes),
            Self::WriteError { bytes } => verb == Verb::Write && touches(bytes),
            Self::MisdirectedWrite => verb == Verb::Write && !range.is_empty(),
            Self::SyncError => matches!(verb, Verb::Sync | Verb::SyncDirectory),
            Self::LostSync => matches!(verb, Verb::Sync | Verb::SyncDirectory),
        }
    }
}

impl Place {
    fn holds(&self, path: &Path) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Under(place) => path.starts_with(place),
            Self::NameEnds(end) => path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(end)),
        }
    }
}

/// A plan at work.
#[derive(Debug, Clone, Default)]
pub(super) struct Armed {
    pub(super) latencies: Latencies,
    pub(super) capacity: Option<u64>,
    faults: Vec<ArmedFault>,
    struck: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone)]
struct ArmedFault {
    fault: Fault,
    before: u64,
    left: Option<u32>,
}

/// What goes wrong with one verb.
#[derive(Debug, Clone, Default)]
pub(super) struct Struck {
    pub(super) stall: Duration,
    pub(super) kind: Option<FaultKind>,
}

impl Armed {
    pub(super) fn set(&mut self, plan: DiskFaults) {
        (self.latencies, self.capacity) = (plan.latencies, plan.capacity);
        self.faults.clear();
        plan.faults.into_iter().for_each(|fault| self.add(fault));
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.faults.push(ArmedFault { before: fault.after, left: fault.times, fault });
    }

    /// Removes the faults that `goes` says yes to.
    pub(super) fn remove(&mut self, goes: impl Fn(&Fault) -> bool) {
        self.faults.retain(|armed| !goes(&armed.fault));
    }

    /// How often each kind has struck.
    pub(super) const fn struck(&self) -> &BTreeMap<&'static str, u64> {
        &self.struck
    }

    /// Whether a fault could strike at all: only then is the path needed.
    pub(super) const fn is_armed(&self) -> bool {
        !self.faults.is_empty()
    }

    pub(super) fn strike(
        &mut self,
        verb: Verb,
        path: &Path,
        range: &Range<u64>,
        chance: &mut Chance,
    ) -> Struck {
        let mut struck = Struck::default();
        for armed in &mut self.faults {
            let stalls = matches!(armed.fault.kind, FaultKind::Stall { .. });
            let could = armed.left != Some(0)
                && (stalls || struck.kind.is_none())
                && armed.fault.kind.concerns(verb, range)
                && armed.fault.place.holds(path);
            if !could {
                continue;
            }
            if armed.before > 0 {
                armed.before -= 1;
                continue;
            }
            if !chance.happens(armed.fault.rate) {
                continue;
            }
            armed.left = armed.left.map(|left| left.saturating_sub(1));
            *self.struck.entry(armed.fault.kind.name()).or_default() += 1;
            match &armed.fault.kind {
                FaultKind::Stall { duration, .. } => struck.stall = struck.stall.saturating_add(*duration),
                kind => struck.kind = Some(kind.clone()),
            }
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(fault: Fault, verb: Verb, path: &str, range: Range<u64>, times: usize) -> Vec<bool> {
        let mut armed = Armed::default();
        armed.set(DiskFaults { faults: vec![fault], ..DiskFaults::default() });
        let mut chance = Chance::new(1);
        let struck = |_| armed.strike(verb, Path::new(path), &range, &mut chance).kind.is_some();
        (0..times).map(struck).collect()
    }

    #[test]
    fn faults_strike_where_when_and_as_often_as_they_say() {
        let fault = Fault::once(FaultKind::SyncError);
        assert_eq!(strikes(fault.clone(), Verb::Sync, "/a", 0..0, 3), [true, false, false]);
        assert_eq!(strikes(fault.clone().after(1), Verb::Sync, "/a", 0..0, 3), [false, true, false]);
        assert_eq!(strikes(fault, Verb::Write, "/a", 0..5, 1), [false]);
        let read = Fault::always(FaultKind::ReadError { bytes: 10..20 });
        for (range, expected) in
            [(0..10, false), (0..11, true), (19..20, true), (20..30, false), (15..16, true)]
        {
            assert_eq!(strikes(read.clone(), Verb::Read, "/a", range.clone(), 2), [expected; 2], "{range:?}");
        }
        let under = read.clone().at(Place::Under("/journal".into()));
        assert_eq!(strikes(under.clone(), Verb::Read, "/journal/1", 10..11, 1), [true]);
        assert_eq!(strikes(under, Verb::Read, "/journals", 10..11, 1), [false]);
        let named = read.at(Place::NameEnds(".journal".to_owned()));
        assert_eq!(strikes(named, Verb::Read, "/data/1.journal", 10..11, 1), [true]);
        let rare = Fault::sometimes(FaultKind::LostSync, Rate::percent(10));
        let count = strikes(rare, Verb::Sync, "/", 0..0, 1000).iter().filter(|struck| **struck).count();
        assert!((60..140).contains(&count));
    }
}

//! The fault atlas: what a node must survive, and where it must refuse precisely.

use super::faults::{DiskFaults, Fault, FaultKind, Place};
use super::latency::{Latencies, Verb};
use crate::chance::{Chance, Rate};
use std::time::Duration;

/// What can befall a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Hazard {
    /// The machine stops between two verbs.
    Crash,
    /// The machine stops within a write: torn at sectors, reordered between writes.
    TornWrite,
    /// A verb takes seconds.
    Stall,
    /// The disk is full.
    NoSpace,
    /// A read fails.
    ReadError,
    /// A write fails.
    WriteError,
    /// A sync fails, and what it was for is lost.
    FailedSync,
    /// A sync that was acknowledged did nothing.
    LostSync,
    /// A durable byte changes.
    BitRot,
    /// A write lands elsewhere.
    MisdirectedWrite,
}

/// What a node owes when it is befallen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Claim {
    /// It goes on, or restarts, and nothing that was acknowledged is missing.
    Survives,
    /// It stops with an error that names the cause. Once the cause is gone it restarts, and nothing that was acknowledged is
    /// missing.
    Stops,
    /// Beyond what can be survived. It either has all that was acknowledged or refuses with an error that names the place;
    /// never a wrong answer.
    Refuses,
}

/// A line of the atlas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtlasEntry {
    /// What befalls the disk.
    pub hazard: Hazard,
    /// What is owed.
    pub claim: Claim,
    /// Why no more is owed, and no less.
    pub reason: &'static str,
}

/// Which hazards are within the claims and which go beyond them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Atlas;

const ENTRIES: [AtlasEntry; 10] = [
    AtlasEntry {
        hazard: Hazard::Crash,
        claim: Claim::Survives,
        reason: "replies leave after the sync, so what was acknowledged is durable",
    },
    AtlasEntry {
        hazard: Hazard::TornWrite,
        claim: Claim::Survives,
        reason: "a record that was not synced was not acknowledged, and its checksum tells that it is torn",
    },
    AtlasEntry {
        hazard: Hazard::Stall,
        claim: Claim::Survives,
        reason: "replies wait; queues refuse with an error when they are full",
    },
    AtlasEntry {
        hazard: Hazard::NoSpace,
        claim: Claim::Stops,
        reason: "space for a record is reserved before; without any the ledger cannot go on",
    },
    AtlasEntry {
        hazard: Hazard::ReadError,
        claim: Claim::Stops,
        reason: "what cannot be read cannot be answered from, and is not known to be damaged",
    },
    AtlasEntry {
        hazard: Hazard::WriteError,
        claim: Claim::Stops,
        reason: "nobody knows what the disk holds until it is read again",
    },
    AtlasEntry {
        hazard: Hazard::FailedSync,
        claim: Claim::Stops,
        reason: "the data may be gone although a later sync succeeds",
    },
    AtlasEntry {
        hazard: Hazard::LostSync,
        claim: Claim::Refuses,
        reason: "one disk that lies about durability cannot be survived; a later record gives the loss away, the last cannot",
    },
    AtlasEntry {
        hazard: Hazard::BitRot,
        claim: Claim::Refuses,
        reason: "there is one copy; checksums show the place",
    },
    AtlasEntry {
        hazard: Hazard::MisdirectedWrite,
        claim: Claim::Refuses,
        reason: "it destroys what was durable; checksums and the chain of records show the place",
    },
];

impl Atlas {
    /// All lines.
    #[must_use]
    pub const fn entries() -> &'static [AtlasEntry] {
        &ENTRIES
    }

    /// What a node owes.
    #[must_use]
    pub const fn claim(hazard: Hazard) -> Claim {
        match hazard {
            Hazard::Crash | Hazard::TornWrite | Hazard::Stall => Claim::Survives,
            Hazard::NoSpace | Hazard::ReadError | Hazard::WriteError | Hazard::FailedSync => Claim::Stops,
            Hazard::LostSync | Hazard::BitRot | Hazard::MisdirectedWrite => Claim::Refuses,
        }
    }

    /// What a node owes under a plan: the least of what it owes under each fault.
    #[must_use]
    pub fn claim_under(faults: &DiskFaults) -> Claim {
        let space = faults.capacity.map(|_| Hazard::NoSpace);
        let hazards = faults.faults.iter().map(|fault| fault.kind.hazard()).chain(space);
        hazards.map(Self::claim).max().unwrap_or(Claim::Survives)
    }

    /// Draws a plan under which a node owes `claim`, or more: faults of that kind at seeded times in `place`.
    #[must_use]
    pub fn draw(claim: Claim, place: &Place, chance: &mut Chance) -> DiskFaults {
        let mut faults = DiskFaults { latencies: Latencies::default(), ..DiskFaults::default() };
        let stall = FaultKind::Stall {
            verb: Some(Verb::Sync),
            duration: Duration::from_millis(chance.between(50, 5_000)),
        };
        if chance.coin() {
            faults.faults.push(Fault::sometimes(stall, Rate::per_million(1_000)).at(place.clone()));
        }
        let everywhere = || 0..u64::MAX;
        let kind = match claim {
            Claim::Survives => return faults,
            Claim::Stops => match chance.below(3) {
                0 => FaultKind::WriteError { bytes: everywhere() },
                1 => FaultKind::SyncError,
                _ => FaultKind::ReadError { bytes: everywhere() },
            },
            Claim::Refuses => match chance.below(2) {
                0 => FaultKind::LostSync,
                _ => FaultKind::MisdirectedWrite,
            },
        };
        faults.faults.push(Fault::once(kind).at(place.clone()).after(chance.below(200)));
        faults
    }
}

impl FaultKind {
    /// What it is an instance of.
    #[must_use]
    pub const fn hazard(&self) -> Hazard {
        match self {
            Self::Stall { .. } => Hazard::Stall,
            Self::ReadError { .. } => Hazard::ReadError,
            Self::WriteError { .. } => Hazard::WriteError,
            Self::SyncError => Hazard::FailedSync,
            Self::LostSync => Hazard::LostSync,
            Self::MisdirectedWrite => Hazard::MisdirectedWrite,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_says_what_the_claim_says() {
        for entry in Atlas::entries() {
            assert_eq!(Atlas::claim(entry.hazard), entry.claim, "{entry:?}");
        }
        for claim in [Claim::Survives, Claim::Stops, Claim::Refuses] {
            for seed in 0..50 {
                let faults = Atlas::draw(claim, &Place::Anywhere, &mut Chance::new(seed));
                assert_eq!(Atlas::claim_under(&faults), claim);
            }
        }
        let full = DiskFaults { capacity: Some(0), ..DiskFaults::default() };
        assert_eq!(Atlas::claim_under(&full), Claim::Stops);
    }
}

//! The scenarios: what clients do and what may go wrong.

use super::plan::Kind;
use std::time::Duration;

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a sentence.
    pub about: &'static str,
    /// What clients do.
    pub work: Work,
    /// How many clients there are.
    pub clients: u32,
    /// How many of them share accounts.
    pub group: u32,
    /// Things that each client does.
    pub operations: u32,
    /// The longest pause between two of them.
    pub pause: Duration,
    /// Clients that only waste the node's time.
    pub slow: u32,
    /// Shards of the node: one, or as many as this, by the seed.
    pub shards: usize,
    /// Whether the node's queues are tiny.
    pub tight: bool,
    /// Whether all links are those of a bad day on the internet.
    pub lossy: bool,
    /// Whether connections are made over TLS, with keys from the seed.
    pub tls: bool,
    /// Whether clocks drift.
    pub drift: bool,
    /// Whether faults go beyond what the node claims to survive: then it may refuse, if it says precisely what is wrong.
    pub beyond: bool,
    /// What may go wrong.
    pub faults: &'static [Kind],
    /// The fewest and the most faults.
    pub count: (u64, u64),
    /// When the last fault may begin.
    pub span: Duration,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// They pay each other and look at their accounts.
    Transfers,
    /// They also call a contract.
    Contracts,
    /// They have bodies echoed by an HTTP server; there is no ledger.
    Echo,
}

/// How long after the last fault every client must have its answers: a request's time limit (30 s) for one that was sent
/// just before, as long for the next, which may find the same dead connection, and the pauses between tries.
pub const LIVENESS: Duration = Duration::from_secs(90);

const TRANSFERS: Scenario = Scenario {
    name: "transfers",
    about: "three clients pay each other; links break, the disk is slow, the node pauses and crashes now and then",
    work: Work::Transfers,
    clients: 3,
    group: 2,
    operations: 24,
    pause: Duration::from_millis(600),
    slow: 0,
    shards: 2,
    tight: false,
    lossy: false,
    tls: false,
    drift: false,
    beyond: false,
    faults: &[
        Kind::Partition,
        Kind::BadLink,
        Kind::SlowDisk,
        Kind::Pause,
        Kind::Crash,
        Kind::TornCrash,
        Kind::SyncStall,
    ],
    count: (0, 4),
    span: Duration::from_secs(5),
};

/// Three clients that do something once a second each, for an hour, without faults: how fast the simulator is.
pub static LIGHT: Scenario = Scenario {
    name: "light",
    about: "three clients with an operation a second each, for an hour, without faults: for measuring",
    operations: 3_600,
    pause: Duration::from_secs(2),
    faults: &[],
    count: (0, 0),
    ..TRANSFERS
};

/// All scenarios.
pub const SCENARIOS: [Scenario; 12] = [
    TRANSFERS,
    Scenario {
        name: "contracts",
        about: "clients have a contract count, while the node crashes, is killed or stopped",
        work: Work::Contracts,
        operations: 24,
        faults: &[Kind::Crash, Kind::TornCrash, Kind::Kill, Kind::Stop, Kind::Partition, Kind::SlowDisk],
        ..TRANSFERS
    },
    Scenario {
        name: "transport",
        about: "HTTP over lossy links: bodies come back as they were sent, also to clients that half close",
        work: Work::Echo,
        operations: 12,
        lossy: true,
        faults: &[Kind::Partition, Kind::BadLink, Kind::Pause],
        count: (0, 6),
        ..TRANSFERS
    },
    Scenario {
        name: "tls",
        about: "HTTP over TLS over lossy links, with keys from the seed: the same, and sessions that resume or cannot",
        work: Work::Echo,
        operations: 12,
        lossy: true,
        tls: true,
        faults: &[Kind::Partition, Kind::BadLink, Kind::Pause, Kind::Kill, Kind::ClockJump],
        count: (0, 6),
        ..TRANSFERS
    },
    Scenario {
        name: "restarts",
        about: "a storm of power failures, kills and stops in the middle of work and of recovery",
        faults: &[Kind::Crash, Kind::TornCrash, Kind::Kill, Kind::Stop, Kind::SlowDisk, Kind::SyncStall],
        count: (4, 12),
        span: Duration::from_secs(10),
        operations: 40,
        ..TRANSFERS
    },
    Scenario {
        name: "disk-full",
        about: "the disk has no room, or fails to write or to sync; the node stops with an error and is restarted",
        faults: &[Kind::DiskFull, Kind::SyncError, Kind::WriteError, Kind::Crash],
        count: (1, 5),
        span: Duration::from_secs(10),
        ..TRANSFERS
    },
    Scenario {
        name: "clock-jumps",
        about: "wall clocks jump by seconds or a day, all clocks drift",
        drift: true,
        faults: &[Kind::ClockJump, Kind::ClockJump, Kind::Crash, Kind::Pause],
        count: (1, 8),
        ..TRANSFERS
    },
    Scenario {
        name: "slow-clients",
        about: "others dribble, do not read, or hold connections for nothing; good clients are served all the same",
        slow: 4,
        faults: &[Kind::Partition, Kind::BadLink, Kind::Crash],
        count: (0, 3),
        ..TRANSFERS
    },
    Scenario {
        name: "overload",
        about: "more clients than the node's tiny queues hold: it refuses with an error, and its queues do not grow",
        clients: 12,
        group: 3,
        operations: 8,
        pause: Duration::from_millis(5),
        tight: true,
        faults: &[Kind::SlowDisk, Kind::SyncStall, Kind::Pause, Kind::Crash],
        count: (0, 4),
        span: Duration::from_secs(2),
        ..TRANSFERS
    },
    Scenario {
        name: "bit-rot",
        about: "beyond the claims: a bit of what was durable changes; right answers or a refusal that names the place",
        beyond: true,
        faults: &[Kind::BitRot, Kind::BitRot, Kind::Kill, Kind::TornCrash],
        count: (1, 4),
        span: Duration::from_secs(10),
        ..TRANSFERS
    },
    Scenario {
        name: "misdirected-writes",
        about: "beyond the claims: a write lands elsewhere in its file; right answers or a refusal that names the place",
        beyond: true,
        faults: &[Kind::Misdirected, Kind::Misdirected, Kind::Crash, Kind::SlowDisk],
        count: (1, 4),
        span: Duration::from_secs(10),
        ..TRANSFERS
    },
    Scenario {
        name: "lost-syncs",
        about: "beyond the claims: syncs do nothing until power fails; what the disk lied about may be gone, nothing else",
        beyond: true,
        faults: &[Kind::LostSyncs, Kind::LostSyncs, Kind::Crash, Kind::SlowDisk],
        count: (1, 4),
        span: Duration::from_secs(10),
        ..TRANSFERS
    },
];

/// The scenario with a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    static ALL: [Scenario; 12] = SCENARIOS;
    ALL.iter().find(|scenario| scenario.name == name)
}

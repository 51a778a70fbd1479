//! What goes wrong, and when: drawn from the seed, one list that a shrinker can make shorter.

use shroud_io_sim::chance::{Chance, Rate};
use std::fmt;
use std::time::Duration;

/// A fault at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// What can go wrong in a scenario. Clients are counted from 0; the node is one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The node's host loses power, and comes back.
    Crash {
        /// After how long.
        down: Duration,
    },
    /// The node's process is killed; what it had written to the system is kept.
    Kill {
        /// After how long it is started again.
        down: Duration,
    },
    /// The node is stopped in order, in the middle of work.
    Stop {
        /// After how long it is started again.
        down: Duration,
    },
    /// The node's host stands still.
    Pause {
        /// For how long.
        lasts: Duration,
    },
    /// Nothing gets through between a client and the node.
    Partition {
        /// Which client.
        client: usize,
        /// In which direction.
        direction: Direction,
        /// For how long.
        lasts: Duration,
    },
    /// A client's link is slow, narrow and lossy.
    BadLink {
        /// Which client.
        client: usize,
        /// The least time from one end to the other.
        latency: Duration,
        /// Bytes a second.
        bandwidth: u64,
        /// What is lost.
        loss: Rate,
        /// For how long.
        lasts: Duration,
    },
    /// The node's disk takes longer for everything.
    SlowDisk {
        /// How much longer.
        by: Duration,
        /// For how long.
        lasts: Duration,
    },
    /// Syncs hang, and the node loses power in the middle of one, most likely: what it was to make durable is on the disk
    /// in part.
    TornCrash {
        /// How long syncs have hung by then.
        hung: Duration,
        /// How long the node is down.
        down: Duration,
    },
    /// Others fill the node's disk. An operator makes room and restarts the node.
    DiskFull {
        /// Bytes that are left.
        spare: u64,
        /// Until there is room again.
        lasts: Duration,
    },
    /// The next sync of a journal segment fails. An operator restarts the node.
    SyncError {
        /// After how long.
        restart: Duration,
    },
    /// The next write to a journal segment fails. An operator restarts the node.
    WriteError {
        /// After how long.
        restart: Duration,
    },
    /// Syncs of the journal hang, some before they take effect and some after.
    SyncStall {
        /// How long each.
        by: Duration,
        /// For how long.
        lasts: Duration,
    },
    /// Beyond what a node survives: it loses power, and a bit of what was durable is another one when it comes back.
    BitRot {
        /// Which bit of which file, and whether of the journal's or of any.
        spot: u64,
        /// After how long it comes back.
        down: Duration,
    },
    /// Beyond what a node survives: the next write lands elsewhere in its file, and power fails later.
    Misdirected {
        /// Of which files.
        files: Files,
        /// After how long power fails.
        lasts: Duration,
    },
    /// Beyond what a node survives: the disk says that syncs have succeeded and does nothing, until power fails.
    LostSyncs {
        /// Of which files.
        files: Files,
        /// For how long.
        lasts: Duration,
    },
    /// The node's wall clock jumps.
    ClockJump {
        /// By so many milliseconds, forth or back.
        milliseconds: i64,
    },
}

/// Which files a disk's fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// The journal's segments.
    Journal,
    /// The store's.
    Store,
    /// All.
    All,
}

/// Which way a partition works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Neither way.
    Both,
    /// The client's packets are lost.
    ToNode,
    /// The node's packets are lost.
    FromNode,
}

/// A kind of fault that a scenario may draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the faults")]
pub enum Kind {
    Crash,
    Kill,
    Stop,
    Pause,
    Partition,
    BadLink,
    SlowDisk,
    TornCrash,
    DiskFull,
    SyncError,
    WriteError,
    SyncStall,
    BitRot,
    Misdirected,
    LostSyncs,
    ClockJump,
}

/// What a plan is drawn from.
#[derive(Clone, Debug)]
pub struct Draw {
    /// The kinds, each as likely as another; one that is listed twice, twice as likely.
    pub kinds: &'static [Kind],
    /// The fewest and the most faults.
    pub count: (u64, u64),
    /// When the last fault may begin.
    pub span: Duration,
    /// How many clients there are.
    pub clients: usize,
}

/// How long a fault of some duration lasts at least and at most, in milliseconds. Most are short; some outlast every
/// timeout there is but the request's.
const LASTS: [(u64, u64); 4] = [(1, 50), (50, 500), (500, 5_000), (5_000, 20_000)];

/// Draws a plan, in the order of time.
#[must_use]
pub fn draw(draw: &Draw, chance: &mut Chance) -> Vec<Planned> {
    let count = chance.between(draw.count.0, draw.count.1);
    let mut plan: Vec<Planned> = Vec::new();
    for _ in 0..count {
        let anywhere = milliseconds(chance, 0, u64::try_from(draw.span.as_millis()).unwrap_or(0));
        // Trouble seldom comes alone: half of all faults strike while another one lasts.
        let at = match plan.get(chance.index(plan.len())) {
            Some(other) if chance.coin() => {
                let lasts = other.until().saturating_sub(other.at);
                other.at + milliseconds(chance, 0, u64::try_from(lasts.as_millis()).unwrap_or(0).max(1))
            }
            _ => anywhere,
        };
        let Some(kind) = draw.kinds.get(chance.index(draw.kinds.len())) else { continue };
        let at = at.min(draw.span);
        plan.push(Planned { at, fault: fault(*kind, draw.clients, chance) });
    }
    plan.sort_by_key(|planned| planned.at);
    plan
}

fn milliseconds(chance: &mut Chance, least: u64, most: u64) -> Duration {
    // Not on whole milliseconds only: faults must not fall into step with timers.
    Duration::from_micros(chance.between(least * 1000, most * 1000))
}

fn fault(kind: Kind, clients: usize, chance: &mut Chance) -> Fault {
    let (least, most) = LASTS.get(chance.index(LASTS.len())).copied().unwrap_or((1, 50));
    let lasts = milliseconds(chance, least, most);
    let client = chance.index(clients);
    match kind {
        Kind::Crash => Fault::Crash { down: lasts },
        Kind::Kill => Fault::Kill { down: lasts },
        Kind::Stop => Fault::Stop { down: lasts },
        Kind::Pause => Fault::Pause { lasts },
        Kind::Partition => {
            let direction = [Direction::Both, Direction::ToNode, Direction::FromNode];
            let direction = direction.get(chance.index(3)).copied().unwrap_or(Direction::Both);
            Fault::Partition { client, direction, lasts }
        }
        Kind::BadLink => Fault::BadLink {
            client,
            latency: milliseconds(chance, 1, 300),
            bandwidth: chance.between(4_000, 1_000_000),
            loss: Rate::per_million(u32::try_from(chance.between(0, 200_000)).unwrap_or(0)),
            lasts,
        },
        Kind::SlowDisk => Fault::SlowDisk { by: milliseconds(chance, 1, 400), lasts },
        Kind::TornCrash => Fault::TornCrash { hung: milliseconds(chance, 300, 3_000), down: lasts },
        Kind::DiskFull => Fault::DiskFull { spare: chance.between(0, 64 << 10), lasts },
        Kind::SyncError => Fault::SyncError { restart: lasts },
        Kind::WriteError => Fault::WriteError { restart: lasts },
        Kind::SyncStall => Fault::SyncStall { by: milliseconds(chance, 1, 3_000), lasts },
        Kind::BitRot => Fault::BitRot { spot: chance.next_u64(), down: lasts },
        Kind::Misdirected => Fault::Misdirected { files: files(chance), lasts },
        Kind::LostSyncs => Fault::LostSyncs { files: files(chance), lasts },
        Kind::ClockJump => {
            let reach = if chance.coin() { 5_000 } else { 86_400_000 };
            let by = i64::try_from(chance.between(0, 2 * reach)).unwrap_or(0);
            Fault::ClockJump { milliseconds: by - i64::try_from(reach).unwrap_or(0) }
        }
    }
}

/// Mostly the journal: it is what a node stands on.
fn files(chance: &mut Chance) -> Files {
    match chance.below(4) {
        0 => Files::Store,
        1 => Files::All,
        _ => Files::Journal,
    }
}

impl Planned {
    /// When its effect is over, apart from what it left behind.
    #[must_use]
    pub fn until(&self) -> Duration {
        let lasts = match &self.fault {
            Fault::Crash { down }
            | Fault::Kill { down }
            | Fault::Stop { down }
            | Fault::BitRot { down, .. } => *down,
            Fault::Pause { lasts }
            | Fault::Partition { lasts, .. }
            | Fault::BadLink { lasts, .. }
            | Fault::SlowDisk { lasts, .. }
            | Fault::SyncStall { lasts, .. }
            | Fault::Misdirected { lasts, .. }
            | Fault::LostSyncs { lasts, .. }
            | Fault::DiskFull { lasts, .. } => *lasts,
            Fault::TornCrash { hung, down } => hung.saturating_add(*down),
            Fault::SyncError { restart } | Fault::WriteError { restart } => *restart,
            Fault::ClockJump { .. } => Duration::ZERO,
        };
        self.at.saturating_add(lasts)
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} s  {}", self.at.as_secs_f64(), self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { down } => write!(f, "power failure of the node for {down:?}"),
            Self::Kill { down } => write!(f, "the node is killed, and started again after {down:?}"),
            Self::Stop { down } => {
                write!(f, "the node is stopped in order, and started again after {down:?}")
            }
            Self::Pause { lasts } => write!(f, "the node stands still for {lasts:?}"),
            Self::Partition { client, direction, lasts } => {
                let what = match direction {
                    Direction::Both => "nothing passes between",
                    Direction::ToNode => "requests are lost between",
                    Direction::FromNode => "answers are lost between",
                };
                write!(f, "{what} client {client} and the node for {lasts:?}")
            }
            Self::BadLink { client, latency, bandwidth, loss, lasts } => write!(
                f,
                "client {client}'s link has {latency:?}, {bandwidth} B/s, {} ppm lost for {lasts:?}",
                loss.parts_per_million()
            ),
            Self::SlowDisk { by, lasts } => write!(f, "the disk takes {by:?} longer for {lasts:?}"),
            Self::TornCrash { hung, down } => {
                write!(f, "syncs hang; after {hung:?} the node loses power for {down:?}")
            }
            Self::DiskFull { spare, lasts } => write!(f, "the disk has {spare} bytes left for {lasts:?}"),
            Self::SyncError { restart } => {
                write!(f, "the next journal sync fails; restart after {restart:?}")
            }
            Self::WriteError { restart } => {
                write!(f, "the next journal write fails; restart after {restart:?}")
            }
            Self::SyncStall { by, lasts } => write!(f, "journal syncs hang for {by:?} each, for {lasts:?}"),
            Self::BitRot { spot, down } => {
                write!(
                    f,
                    "power failure for {down:?}, and a bit that was durable is turned over (spot {spot:#x})"
                )
            }
            Self::Misdirected { files, lasts } => {
                write!(f, "the next write to {files} lands elsewhere; power failure after {lasts:?}")
            }
            Self::LostSyncs { files, lasts } => {
                write!(
                    f,
                    "syncs of {files} do nothing and say that they did, until power fails after {lasts:?}"
                )
            }
            Self::ClockJump { milliseconds } => write!(f, "the node's wall clock jumps by {milliseconds} ms"),
        }
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Journal => "the journal",
            Self::Store => "the store",
            Self::All => "any file",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_a_function_of_the_seed_and_in_order() {
        let kinds = &[Kind::Crash, Kind::Partition, Kind::ClockJump, Kind::BadLink, Kind::DiskFull];
        let from = Draw { kinds, count: (3, 9), span: Duration::from_secs(20), clients: 3 };
        let plan = |seed| draw(&from, &mut Chance::new(seed));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        for seed in 0..200 {
            let plan = plan(seed);
            assert!((3..=9).contains(&plan.len()) && plan.is_sorted_by_key(|planned| planned.at));
            assert!(
                plan.iter()
                    .all(|planned| planned.at <= Duration::from_secs(20) && planned.until() >= planned.at)
            );
        }
    }
}

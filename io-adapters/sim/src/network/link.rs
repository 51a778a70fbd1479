//! What lies between two hosts.

use crate::chance::{Chance, Rate};
use std::collections::BTreeMap;
use std::time::Duration;

/// How one direction of a link behaves. May be changed at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// The least time from one end to the other.
    pub latency: Duration,
    /// Added to it, evenly drawn from zero to this.
    pub jitter: Duration,
    /// Bytes a second; `None`: as many as there are.
    pub bandwidth: Option<u64>,
    /// Bytes that may wait for the bandwidth; datagrams beyond are lost.
    pub queue: u64,
    /// Packets lost. A stream sends them again, so its bytes are late.
    pub loss: Rate,
    /// Datagrams that arrive twice.
    pub duplication: Rate,
    /// Datagrams that may overtake others.
    pub reordering: Rate,
    /// Datagrams in which one bit is flipped.
    pub corruption: Rate,
    /// The largest packet, with its IP and UDP headers. Larger datagrams are lost (the first hop refuses those larger than
    /// the host's own [`crate::HostConfig::mtu`]).
    pub mtu: usize,
    /// Whether anything gets through: `false` is a partition in this direction.
    pub up: bool,
}

impl LinkConfig {
    /// A data centre's network: 100 to 200 microseconds, nothing lost.
    #[must_use]
    pub const fn local() -> Self {
        Self {
            latency: Duration::from_micros(100),
            jitter: Duration::from_micros(100),
            bandwidth: None,
            queue: 1 << 20,
            loss: Rate::NEVER,
            duplication: Rate::NEVER,
            reordering: Rate::NEVER,
            corruption: Rate::NEVER,
            mtu: 1500,
            up: true,
        }
    }

    /// A host's own loopback interface: a few microseconds, large packets, nothing lost.
    #[must_use]
    pub const fn loopback() -> Self {
        let (latency, jitter) = (Duration::from_micros(5), Duration::from_micros(10));
        Self { latency, jitter, mtu: 65_536, ..Self::local() }
    }

    /// The open internet on a bad day: 20 to 60 milliseconds, 10 Mbit/s, 2% lost, some twice or out of order.
    #[must_use]
    pub const fn lossy() -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::from_millis(40),
            bandwidth: Some(1_250_000),
            queue: 128 << 10,
            loss: Rate::percent(2),
            duplication: Rate::percent(1),
            reordering: Rate::percent(2),
            corruption: Rate::per_million(500),
            ..Self::local()
        }
    }
}

/// One direction of a link.
#[derive(Debug)]
struct Link {
    config: LinkConfig,
    /// When the last byte that was accepted has left.
    busy: u64,
    /// When the last datagram that keeps its place arrives.
    last: u64,
}

/// How a packet fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It arrives at this world time, after it left at the other.
    Arrives { at: u64, left: u64 },
    /// It is lost.
    Lost,
}

/// What becomes of a datagram beside its [`Passage`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mishap {
    /// A second copy arrives at this world time.
    pub(crate) again: Option<u64>,
    /// This bit is flipped.
    pub(crate) flipped: Option<usize>,
}

/// All links, each made when it is first used.
#[derive(Debug)]
pub(crate) struct Links {
    links: BTreeMap<(usize, usize), Link>,
    default: LinkConfig,
    loopback: LinkConfig,
    chance: Chance,
}

impl Links {
    pub(crate) fn new(default: LinkConfig, chance: Chance) -> Self {
        Self { links: BTreeMap::new(), default, loopback: LinkConfig::loopback(), chance }
    }

    fn link(&mut self, from: usize, to: usize) -> (&mut Link, &mut Chance) {
        let config = if from == to { self.loopback } else { self.default };
        let link = self.links.entry((from, to)).or_insert(Link { config, busy: 0, last: 0 });
        (link, &mut self.chance)
    }

    pub(crate) fn config(&mut self, from: usize, to: usize) -> LinkConfig {
        self.link(from, to).0.config
    }

    pub(crate) fn change(&mut self, from: usize, to: usize, change: impl FnOnce(&mut LinkConfig)) {
        change(&mut self.link(from, to).0.config);
    }

    /// Changes what links that were not set on their own are like, those between different hosts.
    pub(crate) fn change_all(&mut self, change: impl Fn(&mut LinkConfig)) {
        change(&mut self.default);
        self.links
            .iter_mut()
            .filter(|((from, to), _)| from != to)
            .for_each(|(_, link)| change(&mut link.config));
    }

    /// Sends a part of a stream.
    pub(crate) fn segment(&mut self, now: u64, from: usize, to: usize, bytes: usize) -> Passage {
        let (link, chance) = self.link(from, to);
        let lost = chance.happens(link.config.loss);
        if !link.config.up || lost {
            return Passage::Lost;
        }
        let left = leave(link, now, bytes);
        Passage::Arrives { at: left + travel(link, chance), left }
    }

    /// Sends a datagram of `bytes` with its headers.
    pub(crate) fn datagram(&mut self, now: u64, from: usize, to: usize, bytes: usize) -> (Passage, Mishap) {
        let (link, chance) = self.link(from, to);
        let config = link.config;
        let lost = chance.happens(config.loss);
        let waiting = waiting(link, now);
        if !config.up
            || lost
            || bytes > config.mtu
            || waiting.saturating_add(bytes as u64) > config.queue.max(65_536)
        {
            return (Passage::Lost, Mishap::default());
        }
        let left = leave(link, now, bytes);
        let mut at = left + travel(link, chance);
        if !chance.happens(config.reordering) {
            at = at.max(link.last);
            link.last = at;
        }
        let again = chance.happens(config.duplication).then(|| at + travel(link, chance));
        let flipped = chance.happens(config.corruption).then(|| chance.index(bytes.saturating_mul(8)));
        (Passage::Arrives { at, left }, Mishap { again, flipped })
    }

    pub(crate) fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }
}

/// Bytes that wait for the bandwidth.
fn waiting(link: &Link, now: u64) -> u64 {
    let Some(bandwidth) = link.config.bandwidth else { return 0 };
    let bytes = u128::from(link.busy.saturating_sub(now)) * u128::from(bandwidth) / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// When so many bytes have left, behind those that wait.
fn leave(link: &mut Link, now: u64, bytes: usize) -> u64 {
    let Some(bandwidth) = link.config.bandwidth else { return now };
    let needed = bytes as u128 * 1_000_000_000 / u128::from(bandwidth.max(1));
    link.busy = link.busy.max(now).saturating_add(u64::try_from(needed).unwrap_or(u64::MAX >> 1));
    link.busy
}

fn travel(link: &Link, chance: &mut Chance) -> u64 {
    nanoseconds(link.config.latency).saturating_add(chance.between(0, nanoseconds(link.config.jitter)))
}

/// A duration in nanoseconds; five centuries at most.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX >> 1)
}

//! Simulated hosts.

use crate::chance::Chance;
use crate::clock::{Clock, ClockSkew};
use crate::disk::{Disk, DiskFaults};
use std::fmt;
use std::net::IpAddr;

/// A simulated host.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// What reports call it, and its name on the network.
    pub name: String,
    /// Its addresses; when there are none, it gets `10.0.0.n` and `fd00::n`. It has the loopback addresses in any case.
    pub addresses: Vec<IpAddr>,
    /// How its clocks differ from the world's.
    pub clock: ClockSkew,
    /// The largest packet that leaves it for another host, with headers.
    pub mtu: usize,
    /// What goes wrong with its disk.
    pub disk: DiskFaults,
}

impl HostConfig {
    /// A host with right clocks, an ordinary network card and a faultless disk.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            addresses: Vec::new(),
            clock: ClockSkew::default(),
            mtu: 1500,
            disk: DiskFaults::default(),
        }
    }
}

/// A host's number: hosts count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(crate) usize);

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}", self.0)
    }
}

/// One run of one host: what a crash ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) host: usize,
    pub(crate) run: u32,
}

/// What the world keeps of a host.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) clock: Clock,
    pub(crate) mtu: usize,
    pub(crate) disk: Disk,
    /// Whether a process runs on it.
    pub(crate) up: bool,
    /// Whether its system runs, and answers for sockets that are gone.
    pub(crate) powered: bool,
    pub(crate) run: u32,
    pub(crate) entropy: Chance,
    /// For its disk, its file operations and the sizes of its reads and writes.
    pub(crate) chance: Chance,
    pub(crate) next_port: u16,
}

/// The first of the ports that hosts choose themselves, as on Linux.
pub(crate) const FIRST_EPHEMERAL: u16 = 32_768;
/// The last.
pub(crate) const LAST_EPHEMERAL: u16 = 60_999;

impl Host {
    pub(crate) fn new(number: usize, config: HostConfig, chance: &Chance) -> Self {
        let mut chance = chance.split_at("host", number as u64);
        let entropy = chance.split("entropy");
        // It has run for up to a day.
        let uptime = 1_000_000_000 + chance.below(86_400_000_000_000);
        let span = u64::from(LAST_EPHEMERAL - FIRST_EPHEMERAL);
        let next_port = FIRST_EPHEMERAL + u16::try_from(chance.below(span)).unwrap_or(0);
        let mut addresses = config.addresses;
        if addresses.is_empty() {
            let [high, low] = u16::try_from(number + 1).unwrap_or(u16::MAX).to_be_bytes();
            addresses.push(IpAddr::from([10, 0, high, low]));
            addresses.push(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from_be_bytes([high, low])]));
        }
        Self {
            name: config.name,
            addresses,
            clock: Clock::new(uptime, config.clock),
            mtu: config.mtu,
            disk: Disk::new(config.disk),
            up: false,
            powered: true,
            run: 0,
            entropy,
            chance,
            next_port,
        }
    }

    /// Whether datagrams and connections to `address` are for this host.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }

    /// The address from which it talks to `remote`.
    pub(crate) fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        if remote.is_loopback() {
            return Some(if remote.is_ipv4() {
                IpAddr::from([127, 0, 0, 1])
            } else {
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
            });
        }
        if self.addresses.contains(&remote) {
            return Some(remote);
        }
        self.addresses.iter().copied().find(|own| own.is_ipv4() == remote.is_ipv4())
    }

    /// The next port for a socket that wants any; the caller tries until one is free.
    pub(crate) fn ephemeral(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = if port >= LAST_EPHEMERAL { FIRST_EPHEMERAL } else { port + 1 };
        port
    }
}

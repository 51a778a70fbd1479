//! The network: links, ports, streams and datagrams.

pub(crate) mod datagram;
pub(crate) mod link;
pub(crate) mod ports;
pub(crate) mod tcp;

use crate::host::HostId;
use crate::trace::Kind;
use crate::universe::{Universe, World};
use link::LinkConfig;
use std::net::IpAddr;

impl Universe {
    /// Changes one direction of the link between two hosts (of a host's loopback interface, when both are the same).
    pub fn change_link(&self, from: HostId, to: HostId, change: impl FnOnce(&mut LinkConfig)) {
        self.with(|world| {
            world.links.change(from.0, to.0, change);
            world.note_link(from.0, to.0);
        });
    }

    /// Changes all links between different hosts, also those that are first used later.
    pub fn change_links(&self, change: impl Fn(&mut LinkConfig)) {
        self.with(|world| {
            world.links.change_all(change);
            world.note(Kind::LinkChanged, u64::MAX, 0);
        });
    }

    /// Lets nothing through between any host of `left` and any of `right`, both ways.
    pub fn partition(&self, left: &[HostId], right: &[HostId]) {
        for (left, right) in left.iter().flat_map(|left| right.iter().map(move |right| (*left, *right))) {
            self.change_link(left, right, |link| link.up = false);
            self.change_link(right, left, |link| link.up = false);
        }
    }

    /// Ends all partitions.
    pub fn heal(&self) {
        self.change_links(|link| link.up = true);
    }

    /// Gives a name to addresses, for look-ups from all hosts.
    pub fn name(&self, name: impl Into<String>, addresses: Vec<IpAddr>) {
        self.with(|world| world.names.insert(name.into(), addresses));
    }

    /// What a host is called.
    #[must_use]
    pub fn host_name(&self, host: HostId) -> String {
        self.with(|world| world.hosts.get(host.0).map(|host| host.name.clone()).unwrap_or_default())
    }

    /// The addresses of a host.
    #[must_use]
    pub fn addresses(&self, host: HostId) -> Vec<IpAddr> {
        self.with(|world| world.hosts.get(host.0).map(|host| host.addresses.clone()).unwrap_or_default())
    }
}

impl World {
    fn note_link(&mut self, from: usize, to: usize) {
        let up = u64::from(self.links.config(from, to).up);
        self.note(Kind::LinkChanged, ((from as u64) << 32) | to as u64, up);
    }
}

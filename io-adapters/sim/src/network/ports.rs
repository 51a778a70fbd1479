//! Who has which port.

use crate::arena::Key;
use crate::errors::in_use;
use crate::host::Owner;
use crate::universe::World;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Stream,
    Datagram,
}

#[derive(Debug, Clone, Copy)]
struct Bound {
    address: IpAddr,
    reuse: bool,
    key: Key,
}

/// The ports of all hosts.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    bound: BTreeMap<(Protocol, usize, u16), Vec<Bound>>,
}

impl Ports {
    fn is_free(&self, protocol: Protocol, host: usize, address: SocketAddr, reuse: bool) -> bool {
        let Some(bound) = self.bound.get(&(protocol, host, address.port())) else { return true };
        bound.iter().all(|other| !overlap(other.address, address.ip()) || (reuse && other.reuse))
    }

    pub(crate) fn bind(
        &mut self,
        protocol: Protocol,
        host: usize,
        address: SocketAddr,
        reuse: bool,
        key: Key,
    ) {
        let bound = Bound { address: address.ip(), reuse, key };
        self.bound.entry((protocol, host, address.port())).or_default().push(bound);
    }

    pub(crate) fn release(&mut self, protocol: Protocol, host: usize, port: u16, key: Key) {
        if let Some(bound) = self.bound.get_mut(&(protocol, host, port)) {
            bound.retain(|bound| bound.key != key);
            if bound.is_empty() {
                self.bound.remove(&(protocol, host, port));
            }
        }
    }

    /// Those that are bound to an address, the exact ones before the wildcards.
    pub(crate) fn find(&self, protocol: Protocol, host: usize, address: SocketAddr) -> Vec<Key> {
        let Some(bound) = self.bound.get(&(protocol, host, address.port())) else { return Vec::new() };
        let exact: Vec<Key> =
            bound.iter().filter(|bound| bound.address == address.ip()).map(|bound| bound.key).collect();
        if !exact.is_empty() {
            return exact;
        }
        let wild = bound.iter().filter(|bound| overlap(bound.address, address.ip()));
        wild.map(|bound| bound.key).collect()
    }
}

/// Whether a packet could be for both.
fn overlap(left: IpAddr, right: IpAddr) -> bool {
    left == right || (left.is_ipv4() == right.is_ipv4() && (left.is_unspecified() || right.is_unspecified()))
}

impl World {
    /// The address to bind, with a port when it has none.
    ///
    /// # Errors
    /// When the host has not got the address, or it is taken.
    pub(crate) fn choose_port(
        &mut self,
        protocol: Protocol,
        owner: Owner,
        address: SocketAddr,
        reuse: bool,
    ) -> io::Result<SocketAddr> {
        let Self { ports, hosts, .. } = self;
        let host = hosts.get_mut(owner.host).ok_or_else(crate::errors::dead)?;
        if !address.ip().is_unspecified() && !host.has(address.ip()) {
            return Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL));
        }
        if address.port() != 0 {
            let free = ports.is_free(protocol, owner.host, address, reuse);
            return if free { Ok(address) } else { Err(in_use()) };
        }
        for _ in 0..=u16::MAX {
            let candidate = SocketAddr::new(address.ip(), host.ephemeral());
            if ports.is_free(protocol, owner.host, candidate, false) {
                return Ok(candidate);
            }
        }
        Err(in_use())
    }
}

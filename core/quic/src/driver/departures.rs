//! Addresses that peers have just left.
//!
//! A peer that moves takes another connection id and retires the one it had. Its packets from before may be overtaken by
//! those from its new address, above all when the kernel gives the two to different members of a group. They name an id that
//! is retired by then: to answer them by a stateless reset (RFC 9000 10.3) would end the connection at a peer that still
//! honours that id's token. They are lost instead, as any packet may be.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long packets may be on their way: more than three probe timeouts of most paths.
const GRACE: Duration = Duration::from_secs(3);
/// Addresses kept at most; further ones take the place of the oldest.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Departures {
    /// The latest last.
    left: VecDeque<(SocketAddr, Instant)>,
}

impl Departures {
    pub(super) fn note(&mut self, address: SocketAddr, now: Instant) {
        if self.left.len() == MOST {
            self.left.pop_front();
        }
        self.left.push_back((address, now + GRACE));
    }

    /// Whether a peer may have packets on their way from there.
    pub(super) fn recent(&mut self, address: SocketAddr, now: Instant) -> bool {
        while self.left.front().is_some_and(|(_, until)| *until <= now) {
            self.left.pop_front();
        }
        self.left.iter().any(|(left, _)| *left == address)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn an_address_is_forgotten_in_time() {
        let mut departures = Departures::default();
        let now = Instant::now();
        departures.note(address(1), now);
        assert!(departures.recent(address(1), now + GRACE / 2));
        assert!(!departures.recent(address(2), now + GRACE / 2));
        assert!(!departures.recent(address(1), now + GRACE));
        assert!(departures.left.is_empty());
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut departures = Departures::default();
        let now = Instant::now();
        (0..300).for_each(|port| departures.note(address(port), now));
        assert_eq!(departures.left.len(), MOST);
        assert!(departures.recent(address(299), now) && !departures.recent(address(0), now));
    }
}

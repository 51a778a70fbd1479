//! Endpoints that share one address: one a shard, each with its own connections.

use crate::connection_id::Reader;
use crate::secrets::Secrets;
use crate::tokens::UsedTokens;
use bytes::BytesMut;
use quinn_proto::EcnCodepoint;
use shroud_runtime::sync::AtomicWaker;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Members of a group at most: a connection id has one byte for them.
pub const MAX_MEMBERS: usize = 256;

/// Datagrams that may wait to be taken over by another member; further ones are lost, as on a full queue on their way.
const MAILBOX: usize = 1024;

/// Endpoints that share an address, secrets and the memory of used tokens. A datagram that the kernel gives to the wrong
/// one (its client has a new address) is handed over, in batches, to the one that its connection id names.
#[derive(Debug, Clone)]
pub struct Group {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    secrets: Secrets,
    used: Arc<UsedTokens>,
    joined: AtomicUsize,
    mailboxes: Vec<Mailbox>,
}

/// A place in a group, for one endpoint.
#[derive(Debug)]
pub struct Member {
    pub(crate) group: Group,
    pub(crate) index: u8,
}

/// A datagram on its way to another member.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) ecn: Option<EcnCodepoint>,
    pub(crate) bytes: BytesMut,
}

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waiting: Mutex<Vec<Foreign>>,
    full: AtomicBool,
    waker: AtomicWaker,
}

impl Group {
    /// A group of `members` endpoints, 1 to [`MAX_MEMBERS`] (other numbers are brought into that range).
    #[must_use]
    pub fn new(members: usize, secrets: Secrets) -> Self {
        let members = members.clamp(1, MAX_MEMBERS);
        let mailboxes = (0..members).map(|_| Mailbox::default()).collect();
        let shared = Shared { secrets, used: Arc::default(), joined: AtomicUsize::new(0), mailboxes };
        Self { shared: Arc::new(shared) }
    }

    /// The next place; `None` when all are taken.
    #[must_use]
    pub fn join(&self) -> Option<Member> {
        let index = self.shared.joined.fetch_add(1, Ordering::Relaxed);
        let index = u8::try_from(index).ok().filter(|_| index < self.members())?;
        Some(Member { group: self.clone(), index })
    }

    /// Places in the group.
    #[must_use]
    pub fn members(&self) -> usize {
        self.shared.mailboxes.len()
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.shared.secrets
    }

    pub(crate) fn used(&self) -> &Arc<UsedTokens> {
        &self.shared.used
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(self.shared.secrets.connection_id_key())
    }

    pub(crate) fn mailbox(&self, member: u8) -> Option<&Mailbox> {
        self.shared.mailboxes.get(usize::from(member))
    }
}

impl Mailbox {
    /// Hands datagrams over; returns how many found no room. One wake for all of them.
    pub(crate) fn deliver(&self, batch: &mut Vec<Foreign>) -> usize {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAILBOX.saturating_sub(waiting.len()).min(batch.len());
        waiting.extend(batch.drain(..room));
        drop(waiting);
        let lost = batch.len();
        batch.clear();
        if !self.full.swap(true, Ordering::SeqCst) {
            self.waker.wake();
        }
        lost
    }

    /// Takes what has arrived, or registers to be woken when something does.
    pub(crate) fn take(&self, waker: &std::task::Waker) -> Vec<Foreign> {
        self.waker.register(waker);
        if !self.full.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    #[test]
    fn places_are_given_out_once() {
        let group = Group::new(2, Secrets::from_bytes(&[0; 64]));
        assert_eq!(group.join().unwrap().index, 0);
        assert_eq!(group.clone().join().unwrap().index, 1);
        assert!(group.join().is_none());
        assert_eq!(Group::new(0, Secrets::from_bytes(&[0; 64])).members(), 1);
        assert_eq!(Group::new(1000, Secrets::from_bytes(&[0; 64])).members(), MAX_MEMBERS);
    }

    #[test]
    fn a_full_mailbox_loses_the_rest() {
        let mailbox = Mailbox::default();
        let foreign = || Foreign {
            remote: SocketAddr::from(([127, 0, 0, 1], 1)),
            local: None,
            ecn: None,
            bytes: BytesMut::new(),
        };
        let mut batch: Vec<_> = std::iter::repeat_with(foreign).take(MAILBOX + 1).collect();
        assert_eq!(mailbox.deliver(&mut batch), 1);
        assert!(batch.is_empty());
        assert_eq!(mailbox.take(noop_waker_ref()).len(), MAILBOX);
        assert_eq!(mailbox.take(noop_waker_ref()).len(), 0);
    }
}

//! The waiting room: transactions whose nonce is ahead of their account.
//!
//! A wallet that sends several transactions over several connections cannot know in which order they arrive. Those that
//! come early wait here, for a limited time, in limited numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use shroud_crypto::Address;
use shroud_ledger::{Nonce, TransactionHash};

use crate::{Config, SubmitError};

/// What the room must know about what waits in it.
pub(crate) trait Visitor {
    fn sender(&self) -> Address;
    fn nonce(&self) -> Nonce;
    fn hash(&self) -> TransactionHash;
    fn bytes(&self) -> usize;
    /// Requests that it will answer: one, and those that have joined it.
    fn requests(&self) -> usize;
    /// The same transaction came again: both get the same answer.
    fn join(&mut self, other: Self);
}

#[derive(Debug)]
struct Waiting<V> {
    visitor: V,
    deadline: Instant,
}

/// A bounded map from account and nonce to a transaction that waits.
#[derive(Debug)]
pub(crate) struct WaitingRoom<V> {
    accounts: BTreeMap<Address, BTreeMap<Nonce, Waiting<V>>>,
    deadlines: BTreeSet<(Instant, Address, Nonce)>,
    bytes: usize,
    /// Requests that wait, of which several may be for one transaction.
    requests: usize,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    per_account: usize,
    total: usize,
    bytes: usize,
}

impl<V: Visitor> WaitingRoom<V> {
    pub(crate) fn new(config: &Config) -> Self {
        let limits = Limits {
            per_account: config.waiting_per_account,
            total: config.waiting,
            bytes: config.waiting_bytes,
        };
        Self { accounts: BTreeMap::new(), deadlines: BTreeSet::new(), bytes: 0, requests: 0, limits }
    }

    pub(crate) fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Lets a transaction wait for the ones from `expected` on. Gives it back when it cannot.
    pub(crate) fn enter(
        &mut self,
        visitor: V,
        expected: Nonce,
        deadline: Instant,
    ) -> Result<(), (V, SubmitError)> {
        let (sender, nonce) = (visitor.sender(), visitor.nonce());
        let requests = self.requests.saturating_add(visitor.requests());
        let account = self.accounts.get_mut(&sender);
        let have = account.as_ref().map_or(0, |account| account.len());
        if let Some(earlier) = account.and_then(|account| account.get_mut(&nonce)) {
            if earlier.visitor.hash() != visitor.hash() {
                return Err((visitor, SubmitError::NonceTaken { nonce }));
            }
            if requests > self.limits.total {
                let limit = self.limits.total;
                return Err((visitor, SubmitError::WaitingRoomFull { expected, limit }));
            }
            earlier.visitor.join(visitor);
            self.requests = requests;
            return Ok(());
        }
        let bytes = self.bytes.saturating_add(visitor.bytes());
        let full = match () {
            () if have >= self.limits.per_account => Some(self.limits.per_account),
            () if requests > self.limits.total || bytes > self.limits.bytes => Some(self.limits.total),
            () => None,
        };
        if let Some(limit) = full {
            return Err((visitor, SubmitError::WaitingRoomFull { expected, limit }));
        }
        (self.bytes, self.requests) = (bytes, requests);
        self.deadlines.insert((deadline, sender, nonce));
        self.accounts.entry(sender).or_default().insert(nonce, Waiting { visitor, deadline });
        Ok(())
    }

    /// Calls a transaction in.
    pub(crate) fn take(&mut self, sender: Address, nonce: Nonce) -> Option<V> {
        let account = self.accounts.get_mut(&sender)?;
        let Waiting { visitor, deadline } = account.remove(&nonce)?;
        if account.is_empty() {
            self.accounts.remove(&sender);
        }
        self.deadlines.remove(&(deadline, sender, nonce));
        self.bytes = self.bytes.saturating_sub(visitor.bytes());
        self.requests = self.requests.saturating_sub(visitor.requests());
        Some(visitor)
    }

    /// When the next one has waited too long.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, ..)| *deadline)
    }

    /// Sends out one that has waited too long.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<V> {
        let (deadline, sender, nonce) = *self.deadlines.first()?;
        if deadline > now { None } else { self.take(sender, nonce) }
    }

    /// Sends everyone out.
    pub(crate) fn clear(&mut self) -> Vec<V> {
        self.deadlines.clear();
        (self.bytes, self.requests) = (0, 0);
        let accounts = std::mem::take(&mut self.accounts);
        accounts.into_values().flat_map(BTreeMap::into_values).map(|waiting| waiting.visitor).collect()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any instant serves")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shroud_crypto::Hash;
    use std::time::Duration;

    #[derive(Clone, Debug, PartialEq)]
    struct Guest {
        sender: u8,
        nonce: u64,
        hash: u8,
        joined: usize,
    }

    impl Visitor for Guest {
        fn sender(&self) -> Address {
            Address([self.sender; 20])
        }
        fn nonce(&self) -> Nonce {
            Nonce(self.nonce)
        }
        fn hash(&self) -> TransactionHash {
            Hash([self.hash; 32])
        }
        fn bytes(&self) -> usize {
            10
        }
        fn requests(&self) -> usize {
            1 + self.joined
        }
        fn join(&mut self, other: Self) {
            self.joined += 1 + other.joined;
        }
    }

    fn guest(sender: u8, nonce: u64, hash: u8) -> Guest {
        Guest { sender, nonce, hash, joined: 0 }
    }

    fn room(per_account: usize, total: usize) -> WaitingRoom<Guest> {
        let config = Config { waiting_per_account: per_account, waiting: total, ..Config::default() };
        WaitingRoom::new(&config)
    }

    #[test]
    fn the_same_joins_another_is_refused() {
        let (mut room, now) = (room(4, 8), Instant::now());
        room.enter(guest(1, 5, 1), Nonce(3), now).unwrap();
        room.enter(guest(1, 5, 1), Nonce(3), now).unwrap();
        let (_, error) = room.enter(guest(1, 5, 2), Nonce(3), now).unwrap_err();
        assert_eq!(error, SubmitError::NonceTaken { nonce: Nonce(5) });
        assert_eq!(room.len(), 1);
        assert_eq!(room.take(Address([1; 20]), Nonce(5)).unwrap().joined, 1);
        assert_eq!(room.take(Address([1; 20]), Nonce(5)), None);
    }

    #[test]
    fn limits_are_per_account_and_in_total() {
        let (mut room, now) = (room(2, 3), Instant::now());
        for (sender, nonce) in [(1, 1), (1, 2), (2, 1)] {
            room.enter(guest(sender, nonce, nonce as u8), Nonce(0), now).unwrap();
        }
        let full = |room: &mut WaitingRoom<Guest>, sender| {
            room.enter(guest(sender, 9, 9), Nonce(0), now).unwrap_err().1
        };
        assert_eq!(full(&mut room, 1), SubmitError::WaitingRoomFull { expected: Nonce(0), limit: 2 });
        assert_eq!(full(&mut room, 3), SubmitError::WaitingRoomFull { expected: Nonce(0), limit: 3 });
    }

    #[test]
    fn requests_for_a_transaction_that_waits_already_count_too() {
        let (mut room, now) = (room(4, 3), Instant::now());
        for _ in 0..3 {
            room.enter(guest(1, 5, 1), Nonce(3), now).unwrap();
        }
        let (_, error) = room.enter(guest(1, 5, 1), Nonce(3), now).unwrap_err();
        assert_eq!(error, SubmitError::WaitingRoomFull { expected: Nonce(3), limit: 3 });
        assert_eq!(room.take(Address([1; 20]), Nonce(5)).unwrap().joined, 2);
        room.enter(guest(1, 5, 1), Nonce(3), now).unwrap();
    }

    #[test]
    fn whoever_waits_too_long_is_sent_out_in_order() {
        let (mut room, now) = (room(4, 8), Instant::now());
        for (nonce, seconds) in [(7, 3), (5, 1), (6, 2)] {
            room.enter(guest(1, nonce, nonce as u8), Nonce(4), now + Duration::from_secs(seconds)).unwrap();
        }
        assert_eq!(room.next_deadline(), Some(now + Duration::from_secs(1)));
        assert_eq!(room.expire(now), None);
        let later = now + Duration::from_secs(2);
        assert_eq!(room.expire(later).unwrap().nonce, 5);
        assert_eq!(room.expire(later).unwrap().nonce, 6);
        assert_eq!(room.expire(later), None);
        assert_eq!(room.clear(), vec![guest(1, 7, 7)]);
        assert_eq!((room.len(), room.next_deadline()), (0, None));
    }

    proptest! {
        #[test]
        fn books_are_kept(steps in proptest::collection::vec((0..4u8, 0..6u64, any::<bool>()), 0..80)) {
            let (mut room, now) = (room(3, 7), Instant::now());
            let mut model = BTreeMap::new();
            for (sender, nonce, enter) in steps {
                if enter {
                    let entered = room.enter(guest(sender, nonce, nonce as u8), Nonce(0), now).is_ok();
                    let known = model.contains_key(&(sender, nonce));
                    let of_account = model.keys().filter(|(have, _)| *have == sender).count();
                    let requests: usize = model.values().sum();
                    prop_assert_eq!(entered, (known || of_account < 3) && requests < 7);
                    if entered {
                        *model.entry((sender, nonce)).or_insert(0) += 1;
                    }
                } else {
                    let taken = room.take(Address([sender; 20]), Nonce(nonce)).map(|guest| guest.requests());
                    prop_assert_eq!(taken, model.remove(&(sender, nonce)));
                }
                prop_assert_eq!((room.len(), room.bytes), (model.len(), model.len() * 10));
                prop_assert_eq!(room.requests, model.values().sum::<usize>());
            }
        }
    }
}

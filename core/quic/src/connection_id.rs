//! Connection ids that name the endpoint they belong to.
//!
//! Eight bytes: a nonce of five, and three under a keyed mask of it: the member's number in its [`Group`](crate::Group) and a
//! check of two bytes. Who does not hold the key sees eight random bytes, so that ids of one connection cannot be linked
//! (RFC 9000 5.1); who does can tell where a packet belongs, and junk from ids that were never given out.

use crate::entropy::{Entropy, Pieces};
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use std::hash::Hasher;
use std::time::Duration;

/// Bytes of every id given out here.
pub(crate) const LENGTH: usize = 8;
const NONCE: usize = 5;
const CHECK: [u8; 2] = [0x53, 0x51];

/// Reads ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    key: (u64, u64),
}

impl Reader {
    pub(crate) fn new(key: (u64, u64)) -> Self {
        Self { key }
    }

    /// The member that gave this id out; `None` when nobody of this group did.
    pub(crate) fn member(self, id: &[u8]) -> Option<u8> {
        let id: &[u8; LENGTH] = id.try_into().ok()?;
        let [a, b, c, d, e, member, check @ ..] = *id;
        let [mask, first, second] = self.mask([a, b, c, d, e]);
        (check == [CHECK[0] ^ first, CHECK[1] ^ second]).then_some(member ^ mask)
    }

    fn id(self, member: u8, nonce: [u8; NONCE]) -> [u8; LENGTH] {
        let [a, b, c, d, e] = nonce;
        let [mask, first, second] = self.mask(nonce);
        [a, b, c, d, e, member ^ mask, CHECK[0] ^ first, CHECK[1] ^ second]
    }

    fn mask(self, nonce: [u8; NONCE]) -> [u8; 3] {
        #[allow(deprecated, reason = "the only keyed SipHash-2-4 of the standard library")]
        let mut hasher = std::hash::SipHasher::new_with_keys(self.key.0, self.key.1);
        hasher.write(&nonce);
        let [a, b, c, ..] = hasher.finish().to_le_bytes();
        [a, b, c]
    }

    /// The member that a packet belongs to by its destination id, when that was given out by this group. `None` for
    /// first packets, whose id the client chose.
    pub(crate) fn route(self, packet: &[u8]) -> Option<u8> {
        let (first, rest) = packet.split_first()?;
        if first & 0x80 == 0 {
            return self.member(rest.get(..LENGTH)?);
        }
        // Version (4), length of the id (1), the id.
        let length = usize::from(*rest.get(4)?);
        self.member(rest.get(5..5 + length)?)
    }
}

/// Gives ids out for one member.
pub(crate) struct Generator {
    reader: Reader,
    member: u8,
    entropy: Pieces,
}

impl Generator {
    pub(crate) fn new(reader: Reader, member: u8, entropy: Entropy) -> Self {
        Self { reader, member, entropy: Pieces::new(entropy) }
    }
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.reader.id(self.member, self.entropy.take()))
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        match self.reader.member(id) {
            Some(_) => Ok(()),
            None => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_name_their_member(key: (u64, u64), nonce: [u8; NONCE], member: u8, rest: [u8; 30]) {
            let reader = Reader::new(key);
            let id = reader.id(member, nonce);
            prop_assert_eq!(reader.member(&id), Some(member));
            let mut short = vec![0x41];
            short.extend(id);
            short.extend(rest);
            prop_assert_eq!(reader.route(&short), Some(member));
            let mut long = vec![0xe1, 0, 0, 0, 1, 8];
            long.extend(id);
            long.extend(rest);
            prop_assert_eq!(reader.route(&long), Some(member));
        }

        #[test]
        fn no_bytes_panic_and_others_ids_are_not_ours(key: (u64, u64), bytes: Vec<u8>) {
            let reader = Reader::new(key);
            let _ = reader.route(&bytes);
            prop_assert_eq!(reader.member(&[]), None);
            prop_assert_eq!(reader.member(&[0; 20]), None);
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed_and_members_cannot_be_read_off() {
        let reader = Reader::new((1, 2));
        let ids: Vec<_> = (0..=255).map(|nonce| reader.id(7, [nonce; NONCE])).collect();
        let mut members: Vec<_> = ids.iter().map(|id| id[NONCE]).collect();
        members.sort_unstable();
        members.dedup();
        assert!(members.len() > 100, "the member's byte is masked");
        let noticed = ids.iter().filter(|id| {
            let mut changed = **id;
            changed[0] ^= 1;
            reader.member(&changed).is_none()
        });
        assert!(noticed.count() > 250);
    }
}

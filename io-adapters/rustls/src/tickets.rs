//! Session tickets (RFC 5077, RFC 8446 4.6.1) whose keys come from the provider and age by the seam's clock.
//!
//! rustls's own take both from the process. One value serves all shards of a node, so that a client resumes on
//! whichever it meets.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::crypto::SecureRandom;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a key encrypts. It decrypts for as long again: tickets live for at least this long, at most for two.
const ROTATION: Duration = Duration::from_secs(6 * 60 * 60);

/// Tells keys apart without trying them.
const NAME_LEN: usize = 16;

/// The longest ticket that is looked at: far more than a chain of client certificates takes.
const MAX_TICKET: usize = 64 * 1024;

/// Encrypts and decrypts the tickets of one server configuration (a ticket must not open another one, whose rules for
/// clients may differ).
pub(crate) struct Tickets {
    random: &'static dyn SecureRandom,
    clock: Arc<dyn TimeProvider>,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    current: Option<Arc<Key>>,
    previous: Option<Arc<Key>>,
}

struct Key {
    name: [u8; NAME_LEN],
    cipher: LessSafeKey,
    /// Since the Unix epoch.
    born: Duration,
}

impl Tickets {
    pub(crate) fn new(random: &'static dyn SecureRandom, clock: Arc<dyn TimeProvider>) -> Arc<Self> {
        Arc::new(Self { random, clock, keys: Mutex::new(Keys::default()) })
    }

    fn now(&self) -> Option<Duration> {
        self.clock.current_time().map(|time| Duration::from_secs(time.as_secs()))
    }

    /// The keys of now, the one to encrypt with first.
    fn keys(&self) -> Option<(Arc<Key>, Option<Arc<Key>>)> {
        let now = self.now()?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match &keys.current {
            // A clock that was set back makes no key older.
            Some(key) if now.saturating_sub(key.born) < ROTATION => Arc::clone(key),
            _ => {
                let new = Arc::new(Key::new(self.random, now)?);
                keys.previous = keys.current.replace(Arc::clone(&new));
                new
            }
        };
        if keys.previous.as_ref().is_some_and(|key| now.saturating_sub(key.born) >= ROTATION * 2) {
            keys.previous = None;
        }
        Some((current, keys.previous.clone()))
    }
}

impl Key {
    fn new(random: &dyn SecureRandom, born: Duration) -> Option<Self> {
        let mut secret = Zeroizing::new([0; 32]);
        let mut name = [0; NAME_LEN];
        random.fill(&mut *secret).ok()?;
        random.fill(&mut name).ok()?;
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*secret).ok()?);
        Some(Self { name, cipher, born })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(ROTATION.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let (key, _) = self.keys()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        key.cipher.seal_in_place_append_tag(unique, Aad::from(&key.name), &mut sealed).ok()?;
        Some([&key.name[..], &nonce[..], &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > MAX_TICKET {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (current, previous) = self.keys()?;
        // The name is no secret: it is in every ticket.
        let key = [Some(current), previous].into_iter().flatten().find(|key| key.name == *name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.cipher.open_in_place(nonce, Aad::from(&key.name), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::UnixTime;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug, Default)]
    struct Hands(AtomicU64);

    impl TimeProvider for Hands {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
        }
    }

    fn tickets() -> (Arc<Hands>, Arc<Tickets>) {
        let clock = Arc::new(Hands(AtomicU64::new(1_000_000)));
        (Arc::clone(&clock), Tickets::new(crate::provider().secure_random, clock))
    }

    #[test]
    fn tickets_live_for_one_to_two_rotations() {
        let (clock, tickets) = tickets();
        let pass = |seconds| clock.0.fetch_add(seconds, Ordering::Relaxed);
        let rotation = ROTATION.as_secs();
        let ticket = tickets.encrypt(b"state").unwrap();
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"state");
        pass(rotation - 1);
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"state");
        pass(1);
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"state", "by the previous key");
        pass(rotation - 1);
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"state");
        pass(1);
        assert_eq!(tickets.decrypt(&ticket), None, "two rotations old");
    }

    #[test]
    fn another_configuration_does_not_open_them() {
        let ticket = tickets().1.encrypt(b"state").unwrap();
        assert_eq!(tickets().1.decrypt(&ticket), None);
    }

    proptest! {
        #[test]
        fn nothing_else_opens(ticket in prop::collection::vec(any::<u8>(), 0..200), flip in 0_usize..1000) {
            let (_, tickets) = tickets();
            prop_assert_eq!(tickets.decrypt(&ticket), None);
            let mut good = tickets.encrypt(b"some state").unwrap();
            let at = flip % good.len();
            good[at] ^= 1;
            prop_assert_eq!(tickets.decrypt(&good), None);
        }
    }

    #[test]
    fn a_ticket_at_the_limit_is_opened_and_one_past_it_is_not() {
        let (_, tickets) = tickets();
        let overhead = tickets.encrypt(b"").unwrap().len();
        let most = vec![7; MAX_TICKET - overhead];
        assert_eq!(tickets.decrypt(&tickets.encrypt(&most).unwrap()).unwrap(), most);
        let more = vec![7; MAX_TICKET - overhead + 1];
        assert_eq!(tickets.decrypt(&tickets.encrypt(&more).unwrap()), None);
    }
}

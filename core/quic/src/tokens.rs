//! Which address-validation tokens have been used (RFC 9000 8.1.4): a token that is shown twice counts once.

use quinn_proto::{TokenLog, TokenReuseError};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Tokens remembered in each of two generations.
const GENERATION: usize = 65_536;

/// A bounded memory of used tokens, shared by the members of a group. When it is full, further tokens are taken as used:
/// their clients are asked to prove their address again.
#[derive(Debug, Default)]
pub(crate) struct UsedTokens {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    current: BTreeSet<u128>,
    previous: BTreeSet<u128>,
    /// The latest time of issue that was seen when the current generation began.
    began: Option<SystemTime>,
}

impl TokenLog for UsedTokens {
    fn check_and_insert(
        &self,
        nonce: u128,
        issued: SystemTime,
        lifetime: Duration,
    ) -> Result<(), TokenReuseError> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { current, previous, began } = &mut *generations;
        // A token issued a lifetime after a generation began: all that this generation's predecessor knows has expired.
        let start = *began.get_or_insert(issued);
        if issued.duration_since(start).is_ok_and(|age| age > lifetime) {
            *previous = std::mem::take(current);
            *began = Some(issued);
        }
        if current.len() >= GENERATION || previous.contains(&nonce) || !current.insert(nonce) {
            return Err(TokenReuseError);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const LIFE: Duration = Duration::from_secs(100);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_counts_once_also_across_a_generation() {
        let used = UsedTokens::default();
        assert!(used.check_and_insert(1, at(0), LIFE).is_ok());
        assert!(used.check_and_insert(1, at(0), LIFE).is_err());
        assert!(used.check_and_insert(2, at(101), LIFE).is_ok());
        assert!(used.check_and_insert(1, at(0), LIFE).is_err());
    }

    #[test]
    fn memory_is_bounded_and_full_means_used() {
        let used = UsedTokens::default();
        for nonce in 0..GENERATION as u128 {
            assert!(used.check_and_insert(nonce, at(0), LIFE).is_ok());
        }
        assert!(used.check_and_insert(u128::MAX, at(0), LIFE).is_err());
        assert!(used.check_and_insert(u128::MAX, at(101), LIFE).is_ok(), "a later generation has room again");
    }
}

//! Again after a failure, with growing pauses.

use crate::runtime::{Runtime, RuntimeExt};
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How chance spreads the pauses, so that many who failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Jitter {
    /// The pause as computed.
    None,
    /// Between half the pause and the pause.
    Half,
    /// Between nothing and the pause.
    #[default]
    Full,
}

/// When to try again, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts at most, the first included.
    pub attempts: NonZeroU32,
    /// The pause after the first failure; it doubles with each further one.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
    /// How chance spreads the pauses.
    pub jitter: Jitter,
    /// When it must be over: an attempt still running then is dropped, and no pause is begun that would end later.
    pub deadline: Option<Instant>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::MIN.saturating_add(3),
            base: Duration::from_millis(50),
            cap: Duration::from_secs(5),
            jitter: Jitter::default(),
            deadline: None,
        }
    }
}

impl RetryPolicy {
    /// The pause after `failures` failures (1 or more), given a number drawn by chance.
    #[must_use]
    pub fn pause(&self, failures: u32, chance: u64) -> Duration {
        let doublings = failures.saturating_sub(1);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let pause = self.base.saturating_mul(factor).min(self.cap);
        let nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        let spread = |range: u64| {
            // Multiply and shift: as even as 64 bits of chance allow, without division.
            let drawn = (u128::from(chance) * (u128::from(range) + 1)) >> 64;
            u64::try_from(drawn).unwrap_or(range)
        };
        match self.jitter {
            Jitter::None => pause,
            Jitter::Half => Duration::from_nanos(nanos - spread(nanos / 2)),
            Jitter::Full => Duration::from_nanos(spread(nanos)),
        }
    }
}

/// Why it was not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GaveUp {
    /// As many attempts were made as allowed.
    #[error("all attempts failed")]
    Attempts,
    /// The error is not one that a further attempt mends.
    #[error("the error is permanent")]
    Permanent,
    /// The deadline has passed, or would pass in the next pause.
    #[error("the deadline does not allow another attempt")]
    Deadline,
    /// The [`RetryBudget`] is used up.
    #[error("the retry budget is used up")]
    Budget,
}

/// It did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gave up after {attempts} attempts: {reason}")]
pub struct RetryError<E> {
    /// Why no further attempt was made.
    pub reason: GaveUp,
    /// Attempts made.
    pub attempts: u32,
    /// The last attempt's error; `None` when the deadline dropped the first attempt.
    pub last: Option<E>,
}

/// Keeps retries a small part of all requests, so that they do not drown a service that is already failing. Clones
/// share it.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    shared: Arc<Budget>,
}

#[derive(Debug)]
struct Budget {
    /// In hundredths of a retry.
    balance: Mutex<u64>,
    limit: u64,
    deposit: u64,
}

/// What one retry takes out of a budget.
const RETRY_COST: u64 = 100;

impl RetryBudget {
    /// Allows `percent` retries for a hundred first attempts, and a reserve of `reserve` retries, full at first.
    #[must_use]
    pub fn new(percent: u32, reserve: u32) -> Self {
        let limit = u64::from(reserve) * RETRY_COST;
        let shared = Budget { balance: Mutex::new(limit), limit, deposit: u64::from(percent) };
        Self { shared: Arc::new(shared) }
    }

    /// Counts a first attempt.
    pub fn deposit(&self) {
        let mut balance = self.shared.balance.lock().unwrap_or_else(PoisonError::into_inner);
        *balance = balance.saturating_add(self.shared.deposit).min(self.shared.limit);
    }

    /// Takes one retry, when there is one.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        let mut balance = self.shared.balance.lock().unwrap_or_else(PoisonError::into_inner);
        match balance.checked_sub(RETRY_COST) {
            Some(rest) => {
                *balance = rest;
                true
            }
            None => false,
        }
    }
}

/// Calls `attempt` with 1, 2, ... until it succeeds, with pauses as `policy` says. An error for which `again` is false
/// ends it at once. With a `budget`, each retry must be covered by it.
///
/// Cancel safety: dropping it drops the attempt that is running; an attempt that the deadline cuts is dropped too. So
/// attempts must be cancel safe, and safe to repeat.
///
/// # Errors
/// [`RetryError`] with the reason and the last error.
pub async fn retry<R, F, Fut, T, E>(
    runtime: &R,
    policy: &RetryPolicy,
    budget: Option<&RetryBudget>,
    again: impl Fn(&E) -> bool + Send,
    mut attempt: F,
) -> Result<T, RetryError<E>>
where
    R: Runtime,
    F: FnMut(u32) -> Fut + Send,
    Fut: Future<Output = Result<T, E>> + Send,
    T: Send,
    E: Send,
{
    if let Some(budget) = budget {
        budget.deposit();
    }
    let mut attempts = 0;
    let mut last = None;
    loop {
        attempts += 1;
        let result = match policy.deadline {
            None => Ok(attempt(attempts).await),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(runtime.now());
                runtime.timeout(left, attempt(attempts)).await
            }
        };
        let error = match result {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => return Err(RetryError { reason: GaveUp::Deadline, attempts, last }),
        };
        let pause = policy.pause(attempts, draw(runtime));
        let resumes = runtime.now().checked_add(pause);
        let late = policy.deadline.is_some_and(|deadline| resumes.is_none_or(|at| at >= deadline));
        let reason = match () {
            () if !again(&error) => Some(GaveUp::Permanent),
            () if attempts >= policy.attempts.get() => Some(GaveUp::Attempts),
            () if late => Some(GaveUp::Deadline),
            () if !budget.is_none_or(RetryBudget::withdraw) => Some(GaveUp::Budget),
            () => None,
        };
        last = Some(error);
        if let Some(reason) = reason {
            return Err(RetryError { reason, attempts, last });
        }
        runtime.sleep(pause).await;
    }
}

fn draw<R: Runtime>(runtime: &R) -> u64 {
    let mut bytes = [0; 8];
    runtime.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pauses_double_up_to_the_cap_and_jitter_stays_inside(
            base in 0_u64..10_000_000_000,
            cap in 0_u64..100_000_000_000,
            failures in any::<u32>(),
            chance in any::<u64>(),
        ) {
            let policy = RetryPolicy {
                base: Duration::from_nanos(base),
                cap: Duration::from_nanos(cap),
                jitter: Jitter::None,
                ..RetryPolicy::default()
            };
            let full = policy.pause(failures, chance);
            prop_assert!(full <= policy.cap);
            if full < policy.cap && failures >= 1 {
                prop_assert!(failures < 33 || base == 0);
                prop_assert_eq!(full, policy.base * (1 << (failures - 1).min(31)));
            }
            let half = RetryPolicy { jitter: Jitter::Half, ..policy }.pause(failures, chance);
            prop_assert!(half <= full && half + half >= full);
            let any = RetryPolicy { jitter: Jitter::Full, ..policy }.pause(failures, chance);
            prop_assert!(any <= full);
        }
    }

    #[test]
    fn full_jitter_reaches_both_ends() {
        let policy = RetryPolicy { base: Duration::from_secs(1), ..RetryPolicy::default() };
        assert_eq!(policy.pause(1, 0), Duration::ZERO);
        assert_eq!(policy.pause(1, u64::MAX), Duration::from_secs(1));
    }

    #[test]
    fn a_budget_covers_its_part_and_no_more() {
        let budget = RetryBudget::new(20, 2);
        assert!(budget.withdraw() && budget.withdraw());
        assert!(!budget.withdraw());
        for _ in 0..4 {
            budget.deposit();
            assert!(!budget.withdraw());
        }
        budget.deposit();
        assert!(budget.withdraw());
        for _ in 0..1000 {
            budget.deposit();
        }
        assert!(budget.withdraw() && budget.withdraw() && !budget.withdraw());
    }
}

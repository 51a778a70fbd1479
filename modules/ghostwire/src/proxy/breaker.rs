//! The circuit breaker of one server: passive ejection by what its requests come to.

use std::time::{Duration, Instant};

/// When a server is left alone, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures one after the other that open the circuit; 0 never opens it. Default 5.
    pub failures: u32,
    /// How long it stays open the first time; doubles each time it opens again without having closed. Default 10 s.
    pub open_time: Duration,
    /// The longest it stays open. Default 2 min.
    pub longest_open_time: Duration,
    /// Requests let through at a time to see whether the server has healed. Default 1.
    pub trials: u32,
    /// Trials that must succeed, one after the other, to close it again. Default 2.
    pub successes: u32,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            failures: 5,
            open_time: Duration::from_secs(10),
            longest_open_time: Duration::from_secs(120),
            trials: 1,
            successes: 2,
        }
    }
}

/// Where a circuit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Circuit {
    /// Requests go through.
    Closed,
    /// None do.
    Open,
    /// Some do, to see whether the server has healed.
    HalfOpen,
}

/// What a request must bring back when it ends: requests of an earlier state of the circuit no longer count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
}

#[derive(Debug, Clone)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { running: u32, successes: u32 },
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Breaker {
    options: BreakerOptions,
    state: State,
    epoch: u64,
    /// How often it has opened since it was last closed.
    opened: u32,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(options: BreakerOptions) -> Self {
        Self { options, state: State::Closed { failures: 0 }, epoch: 0, opened: 0 }
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn circuit(&self, now: Instant) -> Circuit {
        match self.state {
            State::Closed { .. } => Circuit::Closed,
            State::Open { until } if now < until => Circuit::Open,
            State::Open { .. } | State::HalfOpen { .. } => Circuit::HalfOpen,
        }
    }

    /// Whether a request may be sent at `now`.
    #[must_use]
    pub fn allows(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } => now >= until,
            State::HalfOpen { running, .. } => running < self.options.trials.max(1),
        }
    }

    /// When it will let requests through again; `None` when it does so now, or waits for trials to end.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            _ => None,
        }
    }

    /// A request is sent: to be called when [`Breaker::allows`] has said so.
    pub fn handle_start(&mut self, now: Instant) -> Ticket {
        if matches!(self.state, State::Open { until } if now >= until) {
            self.enter(State::HalfOpen { running: 0, successes: 0 });
        }
        if let State::HalfOpen { running, .. } = &mut self.state {
            *running = running.saturating_add(1);
        }
        Ticket { epoch: self.epoch }
    }

    /// A request has ended: well, badly, or (`None`) so that it says nothing about the server.
    pub fn handle_end(&mut self, now: Instant, ticket: Ticket, success: Option<bool>) {
        if ticket.epoch != self.epoch {
            return;
        }
        match (&mut self.state, success) {
            (State::Closed { failures }, Some(true)) => *failures = 0,
            (State::Closed { failures }, Some(false)) => {
                *failures = failures.saturating_add(1);
                if self.options.failures > 0 && *failures >= self.options.failures {
                    self.open(now);
                }
            }
            (State::HalfOpen { .. }, Some(false)) => self.open(now),
            (State::HalfOpen { running, successes }, good) => {
                *running = running.saturating_sub(1);
                *successes = successes.saturating_add(u32::from(good.is_some()));
                if *successes >= self.options.successes.max(1) {
                    self.opened = 0;
                    self.enter(State::Closed { failures: 0 });
                }
            }
            (State::Closed { .. }, None) | (State::Open { .. }, _) => {}
        }
    }

    fn open(&mut self, now: Instant) {
        let factor = 1_u32.checked_shl(self.opened.min(31)).unwrap_or(u32::MAX);
        let pause = self.options.open_time.saturating_mul(factor).min(self.options.longest_open_time);
        self.opened = self.opened.saturating_add(1);
        let until = now.checked_add(pause).unwrap_or(now);
        self.enter(State::Open { until });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch = self.epoch.wrapping_add(1);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(BreakerOptions { failures: 3, open_time: 10 * SECOND, ..BreakerOptions::default() })
    }

    fn fail(breaker: &mut Breaker, now: Instant) {
        let ticket = breaker.handle_start(now);
        breaker.handle_end(now, ticket, Some(false));
    }

    #[test]
    fn opens_after_failures_in_a_row_and_heals_by_trials() {
        let (mut breaker, now) = (breaker(), Instant::now());
        fail(&mut breaker, now);
        fail(&mut breaker, now);
        let ticket = breaker.handle_start(now);
        breaker.handle_end(now, ticket, Some(true));
        fail(&mut breaker, now);
        fail(&mut breaker, now);
        assert_eq!(breaker.circuit(now), Circuit::Closed, "a success in between starts anew");
        fail(&mut breaker, now);
        assert_eq!(breaker.circuit(now), Circuit::Open);
        assert!(!breaker.allows(now + 9 * SECOND));
        let later = now + 10 * SECOND;
        assert!(breaker.allows(later));
        let trial = breaker.handle_start(later);
        assert_eq!(breaker.circuit(later), Circuit::HalfOpen);
        assert!(!breaker.allows(later), "one trial at a time");
        breaker.handle_end(later, trial, Some(true));
        let trial = breaker.handle_start(later);
        breaker.handle_end(later, trial, Some(true));
        assert_eq!(breaker.circuit(later), Circuit::Closed);
    }

    #[test]
    fn a_failed_trial_opens_it_for_twice_as_long_up_to_the_limit() {
        let (mut breaker, mut now) = (breaker(), Instant::now());
        (0..3).for_each(|_| fail(&mut breaker, now));
        for expected in [10, 20, 40, 80, 120, 120] {
            let until = breaker.deadline().unwrap();
            assert_eq!(until - now, expected * SECOND);
            now = until;
            fail(&mut breaker, now);
        }
    }

    #[test]
    fn late_and_meaningless_ends_change_nothing() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let early = breaker.handle_start(now);
        (0..3).for_each(|_| fail(&mut breaker, now));
        breaker.handle_end(now, early, Some(true));
        assert_eq!(breaker.circuit(now), Circuit::Open);
        let later = now + 10 * SECOND;
        let trial = breaker.handle_start(later);
        breaker.handle_end(later, trial, None);
        assert!(breaker.allows(later), "its place is free again");
        assert_eq!(breaker.circuit(later), Circuit::HalfOpen);
    }

    #[test]
    fn zero_failures_never_open_it() {
        let options = BreakerOptions { failures: 0, ..BreakerOptions::default() };
        let (mut breaker, now) = (Breaker::new(options), Instant::now());
        (0..1000).for_each(|_| fail(&mut breaker, now));
        assert_eq!(breaker.circuit(now), Circuit::Closed);
    }

    proptest! {
        /// Trials never exceed their number, and no sequence leaves it shut for good.
        #[test]
        fn never_stuck(steps in prop::collection::vec((0_u8..5, 0_u64..30), 0..200)) {
            let mut breaker = breaker();
            let (mut now, mut running) = (Instant::now(), Vec::new());
            for (step, seconds) in steps {
                now += Duration::from_secs(seconds);
                match step {
                    0 | 1 if breaker.allows(now) => running.push(breaker.handle_start(now)),
                    2 => running.pop().into_iter().for_each(|t| breaker.handle_end(now, t, Some(true))),
                    3 => running.pop().into_iter().for_each(|t| breaker.handle_end(now, t, Some(false))),
                    _ => running.pop().into_iter().for_each(|t| breaker.handle_end(now, t, None)),
                }
            }
            running.drain(..).for_each(|ticket| breaker.handle_end(now, ticket, None));
            prop_assert!(breaker.allows(now + 3600 * SECOND));
        }
    }
}

//! A group's servers as one machine: who may get a request, how many each has, what came of them.

use super::balance::{Balancer, Candidate, Policy, stable_hash};
use super::breaker::{Breaker, BreakerOptions, Circuit, Ticket};
use super::health::Health;
use crate::http::LATENCY_BUCKETS;
use std::time::{Duration, Instant};

/// Of one server, what the pool must know.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) address: String,
    pub(super) weight: u32,
    /// Requests it may have at a time.
    pub(super) capacity: usize,
}

/// The machine. Its user holds it under a lock.
#[derive(Debug)]
pub(super) struct Pool {
    servers: Vec<Server>,
    balancer: Balancer,
    /// Kept between calls, so that choosing needs no memory.
    candidates: Vec<Candidate>,
    waiting: usize,
    queue: usize,
    pub(super) counts: Counts,
}

/// What is counted for a group as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// Refused because the queue was full or the wait too long.
    pub(super) refused: u64,
    /// Refused because no server could take requests at all.
    pub(super) unavailable: u64,
    pub(super) retries: u64,
    /// Retries that the budget did not cover.
    pub(super) retries_denied: u64,
}

#[derive(Debug)]
struct Server {
    member: Member,
    identity: u64,
    in_flight: usize,
    breaker: Breaker,
    health: Health,
    stats: Stats,
}

/// What is counted for a server.
#[derive(Debug, Clone, Default)]
pub(super) struct Stats {
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) checks: u64,
    pub(super) failed_checks: u64,
    /// Times to the response's head, by [`LATENCY_BUCKETS`] and one for the rest.
    pub(super) latency: [u64; LATENCY_BUCKETS.len() + 1],
    pub(super) latency_sum: Duration,
}

/// A server that was chosen, to be given back to [`Pool::handle_end`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) index: usize,
    ticket: Ticket,
}

/// What came of asking for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    Chosen(Chosen),
    /// All that could take it have as many as they may.
    Busy,
    /// None may get requests; the next one perhaps at this time.
    Down(Option<Instant>),
}

/// A server's state for people and machines.
#[derive(Debug, Clone)]
pub(super) struct ServerView {
    pub(super) address: String,
    pub(super) weight: u32,
    pub(super) up: bool,
    pub(super) circuit: Circuit,
    pub(super) in_flight: usize,
    pub(super) stats: Stats,
}

impl Pool {
    pub(super) fn new(
        members: Vec<Member>,
        policy: Policy,
        breaker: &BreakerOptions,
        (healthy, unhealthy): (u32, u32),
        queue: usize,
    ) -> Self {
        let balancer = Balancer::new(policy, members.len());
        let servers = members
            .into_iter()
            .map(|member| Server {
                identity: stable_hash(member.address.as_bytes()),
                member,
                in_flight: 0,
                breaker: Breaker::new(breaker.clone()),
                health: Health::new(healthy, unhealthy),
                stats: Stats::default(),
            })
            .collect();
        Self { servers, balancer, candidates: Vec::new(), waiting: 0, queue, counts: Counts::default() }
    }

    /// The server for a request that was not yet sent to any of `tried`, unless those are all there are.
    pub(super) fn pick(&mut self, now: Instant, key: u64, chance: u64, tried: &[usize]) -> Pick {
        let mut usable = 0_usize;
        let mut fresh = false;
        self.candidates.clear();
        for (index, server) in self.servers.iter().enumerate() {
            let may = server.health.is_up() && server.breaker.allows(now);
            usable = usable.saturating_add(usize::from(may));
            let eligible = may && server.in_flight < server.member.capacity;
            fresh |= eligible && !tried.contains(&index);
            self.candidates.push(Candidate {
                weight: server.member.weight,
                in_flight: server.in_flight,
                eligible,
                identity: server.identity,
            });
        }
        if fresh {
            for index in tried {
                if let Some(candidate) = self.candidates.get_mut(*index) {
                    candidate.eligible = false;
                }
            }
        }
        let chosen = self.balancer.choose(&self.candidates, key, chance);
        match chosen.and_then(|index| self.servers.get_mut(index).map(|server| (index, server))) {
            Some((index, server)) => {
                server.in_flight = server.in_flight.saturating_add(1);
                server.stats.requests = server.stats.requests.wrapping_add(1);
                Pick::Chosen(Chosen { index, ticket: server.breaker.handle_start(now) })
            }
            None if usable > 0 => Pick::Busy,
            None => Pick::Down(self.next_trial()),
        }
    }

    fn next_trial(&self) -> Option<Instant> {
        self.servers.iter().filter(|server| server.health.is_up()).filter_map(|s| s.breaker.deadline()).min()
    }

    /// A place in the queue for a free server; false when all are taken.
    pub(super) fn enter_queue(&mut self) -> bool {
        let free = self.waiting < self.queue;
        self.waiting = self.waiting.saturating_add(usize::from(free));
        free
    }

    pub(super) fn leave_queue(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The head of a response has come, so long after its request.
    pub(super) fn handle_head(&mut self, chosen: Chosen, took: Duration) {
        let Some(server) = self.servers.get_mut(chosen.index) else { return };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BUCKETS.iter().position(|bound| micros <= *bound);
        if let Some(count) = server.stats.latency.get_mut(bucket.unwrap_or(LATENCY_BUCKETS.len())) {
            *count = count.wrapping_add(1);
        }
        server.stats.latency_sum = server.stats.latency_sum.saturating_add(took);
    }

    /// A request has ended: well, badly, or (`None`) for reasons that are not the server's.
    pub(super) fn handle_end(&mut self, now: Instant, chosen: Chosen, success: Option<bool>) {
        let Some(server) = self.servers.get_mut(chosen.index) else { return };
        server.in_flight = server.in_flight.saturating_sub(1);
        if success == Some(false) {
            server.stats.failures = server.stats.failures.wrapping_add(1);
        }
        let before = server.breaker.circuit(now);
        server.breaker.handle_end(now, chosen.ticket, success);
        let after = server.breaker.circuit(now);
        if before != after {
            let server = &server.member.address;
            tracing::warn!(server, ?before, ?after, "the circuit of an upstream server has changed");
        }
    }

    /// A health check of a server has ended; says whether the server's state has changed.
    pub(super) fn handle_check(&mut self, index: usize, success: bool) -> bool {
        let Some(server) = self.servers.get_mut(index) else { return false };
        server.stats.checks = server.stats.checks.wrapping_add(1);
        server.stats.failed_checks = server.stats.failed_checks.wrapping_add(u64::from(!success));
        let changed = server.health.handle_check(success);
        if changed {
            let (server, up) = (&server.member.address, success);
            tracing::warn!(server, up, "health checks say otherwise of an upstream server");
        }
        changed
    }

    pub(super) fn views(&self, now: Instant) -> Vec<ServerView> {
        let view = |server: &Server| ServerView {
            address: server.member.address.clone(),
            weight: server.member.weight,
            up: server.health.is_up(),
            circuit: server.breaker.circuit(now),
            in_flight: server.in_flight,
            stats: server.stats.clone(),
        };
        self.servers.iter().map(view).collect()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use super::*;

    fn pool(capacities: &[usize], queue: usize) -> Pool {
        let member = |(index, capacity): (usize, &usize)| Member {
            address: format!("http://10.0.0.{index}"),
            weight: 1,
            capacity: *capacity,
        };
        let members = capacities.iter().enumerate().map(member).collect();
        let breaker = BreakerOptions { failures: 1, successes: 1, ..BreakerOptions::default() };
        Pool::new(members, Policy::RoundRobin, &breaker, (1, 1), queue)
    }

    fn chosen(pick: Pick) -> Chosen {
        let Pick::Chosen(chosen) = pick else { panic!("{pick:?}") };
        chosen
    }

    #[test]
    fn at_the_limit_and_one_past_it() {
        let (mut pool, now) = (pool(&[1, 2], 1), Instant::now());
        let first = chosen(pool.pick(now, 0, 0, &[]));
        chosen(pool.pick(now, 0, 0, &[]));
        chosen(pool.pick(now, 0, 0, &[]));
        assert_eq!(pool.pick(now, 0, 0, &[]), Pick::Busy);
        assert!(pool.enter_queue() && !pool.enter_queue());
        pool.leave_queue();
        pool.handle_end(now, first, Some(true));
        assert_eq!(chosen(pool.pick(now, 0, 0, &[])).index, first.index);
    }

    #[test]
    fn what_was_tried_comes_last() {
        let (mut pool, now) = (pool(&[9, 9], 0), Instant::now());
        for _ in 0..4 {
            assert_eq!(chosen(pool.pick(now, 0, 0, &[0])).index, 1);
        }
        assert!(matches!(pool.pick(now, 0, 0, &[0, 1]), Pick::Chosen(_)));
    }

    #[test]
    fn down_by_checks_or_by_failures() {
        let (mut pool, now) = (pool(&[9, 9], 0), Instant::now());
        assert!(pool.handle_check(0, false));
        let only = chosen(pool.pick(now, 0, 0, &[]));
        assert_eq!(only.index, 1);
        pool.handle_end(now, only, Some(false));
        let heals = now + BreakerOptions::default().open_time;
        assert_eq!(pool.pick(now, 0, 0, &[]), Pick::Down(Some(heals)));
        assert_eq!(chosen(pool.pick(heals, 0, 0, &[])).index, 1);
        assert!(pool.handle_check(0, true));
        assert_eq!(chosen(pool.pick(now, 0, 0, &[])).index, 0);
    }
}

//! A group of servers as all shards share it.

use super::balance::{HashKey, Policy};
use super::config::UpstreamConfig;
use super::pool::{Chosen, Counts, Member, Pick, Pool, ServerView};
use shroud_runtime::flow::RetryBudget;
use shroud_runtime::sync::Event;
use shroud_runtime::{Runtime, RuntimeExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) config: UpstreamConfig,
    pub(super) budget: RetryBudget,
    pool: Mutex<Pool>,
    /// A server may have become free.
    freed: Event,
}

/// Why a request gets no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// All are busy, and the queue is full or was too slow.
    Busy,
    /// None takes requests; try again after this long.
    Down(Duration),
}

impl Upstream {
    pub(super) fn new(name: &str, config: UpstreamConfig) -> Self {
        let members = config
            .servers
            .iter()
            .map(|server| Member {
                address: server.address.to_string(),
                weight: server.weight,
                capacity: server.max_requests,
            })
            .collect();
        let thresholds = config.health.as_ref().map_or((1, 1), |health| (health.healthy, health.unhealthy));
        let pool = Pool::new(members, config.balance.clone(), &config.breaker, thresholds, config.queue);
        let budget = RetryBudget::new(config.retry.budget_percent, config.retry.budget_reserve);
        Self { name: name.to_owned(), config, budget, pool: Mutex::new(pool), freed: Event::new() }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its policy hashes, if it does.
    pub(super) fn hash_key(&self) -> Option<&HashKey> {
        match &self.config.balance {
            Policy::Hash(key) => Some(key),
            _ => None,
        }
    }

    /// A server for a request that was not yet sent to any of `tried`, waiting in the queue for one where that may help.
    /// Cancel safe.
    pub(super) async fn acquire<R: Runtime>(
        self: &Arc<Self>,
        runtime: &R,
        key: u64,
        tried: &[usize],
    ) -> Result<Lease<R>, Unavailable> {
        let now = runtime.now();
        let chance = if self.config.balance == Policy::RandomTwo { draw(runtime) } else { 0 };
        let _place = {
            let mut pool = self.pool();
            // Those who wait come first.
            let pick = if pool.waiting() > 0 { Pick::Busy } else { pool.pick(now, key, chance, tried) };
            match pick {
                Pick::Chosen(chosen) => return Ok(self.lease(runtime, chosen)),
                Pick::Down(at) => {
                    pool.counts.unavailable = pool.counts.unavailable.wrapping_add(1);
                    return Err(Unavailable::Down(pause(now, at)));
                }
                Pick::Busy if !pool.enter_queue() => {
                    pool.counts.refused = pool.counts.refused.wrapping_add(1);
                    return Err(Unavailable::Busy);
                }
                Pick::Busy => Place(self),
            }
        };
        let waiting = async {
            loop {
                let freed = self.freed.listen();
                let now = runtime.now();
                match self.pool().pick(now, key, chance, tried) {
                    Pick::Chosen(chosen) => return Ok(self.lease(runtime, chosen)),
                    Pick::Down(at) => return Err(Unavailable::Down(pause(now, at))),
                    Pick::Busy => {}
                }
                freed.await;
            }
        };
        let outcome = runtime.timeout(self.config.queue_time, waiting).await;
        let mut pool = self.pool();
        match outcome {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(down)) => {
                pool.counts.unavailable = pool.counts.unavailable.wrapping_add(1);
                Err(down)
            }
            Err(_) => {
                pool.counts.refused = pool.counts.refused.wrapping_add(1);
                Err(Unavailable::Busy)
            }
        }
    }

    fn lease<R: Runtime>(self: &Arc<Self>, runtime: &R, chosen: Chosen) -> Lease<R> {
        Lease { upstream: Arc::clone(self), runtime: runtime.clone(), chosen, success: None }
    }

    /// Takes one retry out of the budget, when there is one.
    pub(super) fn may_retry(&self) -> bool {
        let covered = self.budget.withdraw();
        let mut pool = self.pool();
        let counts = &mut pool.counts;
        let count = if covered { &mut counts.retries } else { &mut counts.retries_denied };
        *count = count.wrapping_add(1);
        covered
    }

    /// A health check of a server has ended.
    pub(super) fn checked(&self, index: usize, success: bool) {
        let changed = self.pool().handle_check(index, success);
        if changed {
            self.freed.notify(usize::MAX);
        }
    }

    pub(super) fn views(&self, now: Instant) -> (Vec<ServerView>, Counts, usize) {
        let pool = self.pool();
        (pool.views(now), pool.counts.clone(), pool.waiting())
    }
}

fn pause(now: Instant, at: Option<Instant>) -> Duration {
    at.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now))
}

fn draw<R: Runtime>(runtime: &R) -> u64 {
    let mut bytes = [0; 8];
    runtime.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A place in the queue.
struct Place<'a>(&'a Upstream);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.pool().leave_queue();
    }
}

/// A server that was given to a request, until it is dropped.
pub(super) struct Lease<R: Runtime> {
    upstream: Arc<Upstream>,
    runtime: R,
    chosen: Chosen,
    success: Option<bool>,
}

impl<R: Runtime> Lease<R> {
    pub(super) fn index(&self) -> usize {
        self.chosen.index
    }

    /// The head of the response has come.
    pub(super) fn answered(&mut self, took: Duration, success: bool) {
        self.upstream.pool().handle_head(self.chosen, took);
        self.success = Some(success);
    }

    /// The server has failed; what it did well before does not matter.
    pub(super) fn failed(&mut self) {
        self.success = Some(false);
    }
}

impl<R: Runtime> Drop for Lease<R> {
    fn drop(&mut self) {
        let now = self.runtime.now();
        self.upstream.pool().handle_end(now, self.chosen, self.success);
        // All of them: one that waits may have to hear that the last server is down.
        self.upstream.freed.notify(if self.success == Some(false) { usize::MAX } else { 1 });
    }
}

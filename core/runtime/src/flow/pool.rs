//! Costly things (connections, mostly) used again.

use crate::runtime::{Runtime, RuntimeExt};
use crate::sync::Semaphore;
use async_lock::SemaphoreGuardArc;
use std::future::Future;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Makes and checks a pool's items.
pub trait Manager: Send + Sync + 'static {
    /// What is pooled. On a per-core backend items with sockets in them belong to one shard: use a pool a shard.
    type Item: Send + 'static;
    /// Why an item could not be made.
    type Error: Send;

    /// Makes an item. Must be cancel safe.
    fn create(&self) -> impl Future<Output = Result<Self::Item, Self::Error>> + Send;

    /// Whether an idle item is still good, asked before it is used again. Must be cancel safe: an item whose check is
    /// dropped is dropped too.
    fn check(&self, item: &mut Self::Item) -> impl Future<Output = bool> + Send;
}

/// A pool's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// Items at most, idle and in use.
    pub max_size: NonZeroUsize,
    /// Callers that may wait at most; further ones get an error.
    pub max_waiting: usize,
    /// Idle items older than this are dropped; `None` keeps them.
    pub idle_timeout: Option<Duration>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max_size: NonZeroUsize::MIN.saturating_add(31),
            max_waiting: 1024,
            idle_timeout: Some(Duration::from_secs(60)),
        }
    }
}

/// Why there is no item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError<E> {
    /// An item could not be made.
    #[error("making an item for the pool failed: {0}")]
    Create(E),
    /// As many callers wait already as may.
    #[error("the pool is busy: {0} callers are waiting, which is the limit")]
    Busy(usize),
    /// [`Pool::close`] was called.
    #[error("the pool is closed")]
    Closed,
}

/// What a pool is doing and has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// Items in use, or being made or checked.
    pub in_use: usize,
    /// Items waiting for use.
    pub idle: usize,
    /// Callers waiting for an item.
    pub waiting: usize,
    /// Items made.
    pub created: u64,
    /// Times an idle item was used again.
    pub reused: u64,
    /// Items that could not be made.
    pub failed: u64,
    /// Idle items dropped for their age.
    pub expired: u64,
    /// Items dropped as broken, by a check or by their user.
    pub broken: u64,
}

/// A pool of items. Clones are the same pool.
pub struct Pool<R, M: Manager> {
    shared: Arc<Shared<R, M>>,
}

struct Shared<R, M: Manager> {
    runtime: R,
    manager: M,
    options: PoolOptions,
    /// One permit for each item that may be in use.
    permits: Arc<Semaphore>,
    /// Last returned last: the newest is used first, so that the rest can grow old.
    idle: Mutex<Vec<Idle<M::Item>>>,
    closed: AtomicBool,
    closing: crate::flow::CancellationToken,
    in_use: AtomicUsize,
    waiting: AtomicUsize,
    created: AtomicU64,
    reused: AtomicU64,
    failed: AtomicU64,
    expired: AtomicU64,
    broken: AtomicU64,
}

struct Idle<T> {
    item: T,
    since: Instant,
}

impl<R: Runtime, M: Manager> Pool<R, M> {
    /// An empty pool.
    #[must_use]
    pub fn new(runtime: R, manager: M, options: PoolOptions) -> Self {
        let zero = || AtomicU64::new(0);
        let shared = Shared {
            runtime,
            manager,
            options,
            permits: Arc::new(Semaphore::new(options.max_size.get())),
            idle: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
            closing: crate::flow::CancellationToken::new(),
            in_use: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            created: zero(),
            reused: zero(),
            failed: zero(),
            expired: zero(),
            broken: zero(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// An idle item that is still good, or a new one; waits while as many are in use as there may be.
    ///
    /// Cancel safety: cancel safe; an item that was being made or checked is dropped, and its place is free again.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn acquire(&self) -> Result<Pooled<R, M>, PoolError<M::Error>> {
        let mut pooled = self.place().await?;
        loop {
            let Some(mut item) = self.shared.take_idle() else { break };
            if self.shared.manager.check(&mut item).await {
                self.shared.reused.fetch_add(1, Relaxed);
                pooled.item = Some(item);
                return Ok(pooled);
            }
            self.shared.broken.fetch_add(1, Relaxed);
        }
        match self.shared.manager.create().await {
            Ok(item) => {
                self.shared.created.fetch_add(1, Relaxed);
                pooled.item = Some(item);
                Ok(pooled)
            }
            Err(error) => {
                self.shared.failed.fetch_add(1, Relaxed);
                Err(PoolError::Create(error))
            }
        }
    }

    /// Drops idle items that are too old. Also done by [`Pool::acquire`], as far as it meets them.
    pub fn reap(&self) {
        drop(self.shared.take_expired());
    }

    /// Drops idle items in time, until the pool is closed: to be spawned beside a pool that is not always busy.
    ///
    /// Cancel safety: cancel safe.
    pub async fn maintain(&self) {
        let Some(timeout) = self.shared.options.idle_timeout else {
            return self.shared.closing.cancelled().await;
        };
        // Half the limit: an idle item is gone after one and a half times the limit at the latest.
        let pause = (timeout / 2).max(Duration::from_millis(1));
        while self.shared.closing.run_until(self.shared.runtime.sleep(pause)).await.is_some() {
            self.reap();
        }
    }

    /// Drops the idle items and refuses to give further ones; those in use are dropped when they come back.
    pub fn close(&self) {
        self.shared.closed.store(true, Relaxed);
        self.shared.closing.cancel();
        let idle = std::mem::take(&mut *self.shared.idle());
        drop(idle);
    }

    /// What the pool is doing and has done.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let shared = &self.shared;
        PoolStats {
            in_use: shared.in_use.load(Relaxed),
            idle: shared.idle().len(),
            waiting: shared.waiting.load(Relaxed),
            created: shared.created.load(Relaxed),
            reused: shared.reused.load(Relaxed),
            failed: shared.failed.load(Relaxed),
            expired: shared.expired.load(Relaxed),
            broken: shared.broken.load(Relaxed),
        }
    }

    /// Waits for a place for an item that is in use.
    async fn place(&self) -> Result<Pooled<R, M>, PoolError<M::Error>> {
        let shared = &self.shared;
        if shared.closed.load(Relaxed) {
            return Err(PoolError::Closed);
        }
        let permit = match shared.permits.try_acquire_arc() {
            Some(permit) => permit,
            None => {
                let _waiting = Waiting::enter(&shared.waiting, shared.options.max_waiting)
                    .ok_or(PoolError::Busy(shared.options.max_waiting))?;
                let permit = shared.permits.acquire_arc();
                shared.closing.run_until(permit).await.ok_or(PoolError::Closed)?
            }
        };
        shared.in_use.fetch_add(1, Relaxed);
        Ok(Pooled { shared: Arc::clone(shared), item: None, _permit: permit })
    }
}

impl<R: Runtime, M: Manager> Shared<R, M> {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle<M::Item>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<M::Item> {
        drop(self.take_expired());
        self.idle().pop().map(|idle| idle.item)
    }

    /// Idle items that are too old, to be dropped by the caller outside the lock.
    fn take_expired(&self) -> Vec<Idle<M::Item>> {
        let Some(timeout) = self.options.idle_timeout else { return Vec::new() };
        let now = self.runtime.now();
        let mut idle = self.idle();
        // The oldest come first.
        let expired = idle.partition_point(|idle| now.saturating_duration_since(idle.since) >= timeout);
        let expired: Vec<_> = idle.drain(..expired).collect();
        self.expired.fetch_add(expired.len() as u64, Relaxed);
        expired
    }
}

/// An item in use. Dropping it gives it back.
pub struct Pooled<R: Runtime, M: Manager> {
    shared: Arc<Shared<R, M>>,
    /// There, except while it is being made, and after it was discarded.
    item: Option<M::Item>,
    /// Freed after the item has gone back.
    _permit: SemaphoreGuardArc,
}

impl<R: Runtime, M: Manager> Pooled<R, M> {
    /// Drops the item instead of giving it back: after an error that leaves it unusable.
    pub fn discard(mut self) {
        self.shared.broken.fetch_add(1, Relaxed);
        self.item = None;
    }
}

impl<R: Runtime, M: Manager> Deref for Pooled<R, M> {
    type Target = M::Item;

    fn deref(&self) -> &M::Item {
        match &self.item {
            Some(item) => item,
            None => unreachable!("an item is handed out only when it is there"),
        }
    }
}

impl<R: Runtime, M: Manager> DerefMut for Pooled<R, M> {
    fn deref_mut(&mut self) -> &mut M::Item {
        match &mut self.item {
            Some(item) => item,
            None => unreachable!("an item is handed out only when it is there"),
        }
    }
}

impl<R: Runtime, M: Manager> Drop for Pooled<R, M> {
    fn drop(&mut self) {
        self.shared.in_use.fetch_sub(1, Relaxed);
        let Some(item) = self.item.take() else { return };
        let since = self.shared.runtime.now();
        let mut idle = self.shared.idle();
        // Under the lock that `close` empties the list under, so that nothing slips in after it.
        if !self.shared.closed.load(Relaxed) {
            idle.push(Idle { item, since });
        }
    }
}

/// Counts a waiting caller while it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, limit: usize) -> Option<Self> {
        waiting.fetch_update(Relaxed, Relaxed, |waiting| (waiting < limit).then_some(waiting + 1)).ok()?;
        Some(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl<R, M: Manager> Clone for Pool<R, M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<R: Runtime, M: Manager> std::fmt::Debug for Pool<R, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<R: Runtime, M: Manager> std::fmt::Debug for Pooled<R, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pooled").finish_non_exhaustive()
    }
}

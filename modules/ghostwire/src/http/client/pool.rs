//! The connections that are open: those that are kept for later requests, and how many there may be.

use super::connect::Fresh;
use super::exclusive::Open;
use super::multiplexed::Multiplexed;
use super::{Client, ClientError, Shared};
use shroud_runtime::sync::Event;
use shroud_runtime::{Runtime, RuntimeExt};
use std::collections::BTreeMap;
use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Instant;

/// The connections of a client, by the keys of their hosts.
pub(super) struct Pool<R: Runtime> {
    hosts: BTreeMap<String, Host<R>>,
    /// The task that closes idle ones knows that there are some.
    watched: bool,
    /// With so many hosts, those that nothing is known of are forgotten.
    full: usize,
}

/// Hosts that are remembered without a look at whether there is anything to remember.
const HOSTS: usize = 64;

struct Host<R: Runtime> {
    /// Those of HTTP/1.1 that no exchange uses, the one that was used last at the end.
    idle: Vec<Open<R>>,
    /// That of HTTP/2, and when it was asked last.
    shared: Option<(Multiplexed, Instant)>,
    places: Arc<Places>,
}

/// How many connections to a host are open.
#[derive(Default)]
struct Places {
    taken: AtomicUsize,
    /// One is free, or a connection is.
    changed: Event,
}

/// A connection's place among those that may be open. Dropping it makes room for another.
pub(super) struct Place(Option<Arc<Places>>);

/// What a request is sent on.
pub(super) enum Taken<R: Runtime> {
    Kept(Fresh<R>),
    /// A connection that is yet to be made.
    Place(Place),
}

impl Places {
    fn take(self: &Arc<Self>, most: usize) -> Option<Place> {
        let more = |taken: usize| (taken < most.max(1)).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        taken.is_ok().then(|| Place(Some(Arc::clone(self))))
    }
}

impl Place {
    /// Of a connection that is not counted.
    pub(super) const fn uncounted() -> Self {
        Self(None)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = &self.0 {
            places.taken.fetch_sub(1, Ordering::SeqCst);
            places.changed.notify_additional(1);
        }
    }
}

impl<R: Runtime> Default for Pool<R> {
    fn default() -> Self {
        Self { hosts: BTreeMap::new(), watched: false, full: HOSTS }
    }
}

impl<R: Runtime> Default for Host<R> {
    fn default() -> Self {
        Self { idle: Vec::new(), shared: None, places: Arc::default() }
    }
}

impl<R: Runtime> Host<R> {
    /// Whether a connection is there, or somebody waits for one.
    fn is_known(&self) -> bool {
        // Each connection has a place, and whoever waits has the count of them.
        !self.idle.is_empty() || self.shared.is_some() || Arc::strong_count(&self.places) > 1
    }
}

impl<R: Runtime> Pool<R> {
    fn host(&mut self, key: &str) -> &mut Host<R> {
        if self.hosts.len() >= self.full {
            self.hosts.retain(|_, host| host.is_known());
            self.full = self.hosts.len().saturating_mul(2).max(HOSTS);
        }
        self.hosts.entry(key.to_owned()).or_default()
    }
}

impl<R: Runtime> Client<R> {
    /// A connection for a request, or a place for one: one that is kept first, unless it must be `new`. Waits while there is
    /// neither.
    ///
    /// Cancel safety: dropping the future leaves the turn to another.
    pub(super) async fn take(&self, key: &str, new: bool) -> Result<Taken<R>, ClientError> {
        let Shared { runtime, limits, .. } = &*self.shared;
        if let Some(taken) = self.try_take(key, new).await {
            return Ok(taken);
        }
        let places = Arc::clone(&self.pool().host(key).places);
        let wait = async {
            loop {
                let changed = places.changed.listen();
                if let Some(taken) = self.try_take(key, new).await {
                    return taken;
                }
                changed.await;
            }
        };
        let waited = limits.connect_time;
        runtime.timeout(waited, Box::pin(wait)).await.map_err(|_| ClientError::Busy {
            host: key.to_owned(),
            connections: limits.connections.max(1),
            waited,
        })
    }

    async fn try_take(&self, key: &str, new: bool) -> Option<Taken<R>> {
        if !new {
            if let Some(shared) = self.take_shared(key) {
                return Some(Taken::Kept(Fresh::Multiplexed(shared)));
            }
            if let Some(open) = self.take_idle(key).await {
                return Some(Taken::Kept(Fresh::Exclusive(open)));
            }
        }
        loop {
            let mut pool = self.pool();
            let host = pool.host(key);
            if let Some(place) = host.places.take(self.shared.limits.connections) {
                return Some(Taken::Place(place));
            }
            if host.idle.is_empty() {
                return None;
            }
            // Makes room.
            let oldest = host.idle.remove(0);
            drop(pool);
            drop(oldest);
        }
    }

    /// The server's HTTP/2 connection, if there is one that still works.
    fn take_shared(&self, key: &str) -> Option<Multiplexed> {
        let now = self.shared.runtime.now();
        let mut pool = self.pool();
        let host = pool.hosts.get_mut(key)?;
        let (shared, since) = host.shared.as_mut()?;
        let idle = now.saturating_duration_since(*since) > self.shared.limits.idle_time;
        if idle && !shared.is_used() || !shared.is_open() {
            let gone = host.shared.take();
            drop(pool);
            drop(gone);
            return None;
        }
        *since = now;
        Some(shared.clone())
    }

    /// An idle HTTP/1.1 connection that still works, as far as can be told.
    async fn take_idle(&self, key: &str) -> Option<Open<R>> {
        loop {
            let mut open = self.pool().hosts.get_mut(key)?.idle.pop()?;
            let age = self.shared.runtime.now().saturating_duration_since(open.since);
            if age <= self.shared.limits.idle_time && open.is_ready().await {
                return Some(open);
            }
        }
    }

    /// Keeps a connection for the next request, unless it has been said to be one client's.
    pub(super) fn keep(&self, key: &str, mut open: Open<R>) {
        if open.sender.is_closed() || self.shared.options.introduced.is_some() {
            return;
        }
        open.since = self.shared.runtime.now();
        let mut pool = self.pool();
        let host = match pool.hosts.get_mut(key) {
            Some(host) => host,
            None => pool.hosts.entry(key.to_owned()).or_default(),
        };
        if host.idle.len() < self.shared.limits.idle_connections {
            host.idle.push(open);
            host.places.changed.notify_additional(1);
            self.watch(pool);
        }
    }

    /// Keeps an HTTP/2 connection, for whoever asks next or waits already.
    pub(super) fn share(&self, key: &str, shared: Multiplexed) {
        let now = self.shared.runtime.now();
        let mut pool = self.pool();
        let host = pool.host(key);
        let before = host.shared.replace((shared, now));
        host.places.changed.notify(usize::MAX);
        self.watch(pool);
        drop(before);
    }

    /// No request is sent on this one any more.
    pub(super) fn forget(&self, key: &str, gone: &Multiplexed) {
        let mut pool = self.pool();
        let Some(host) = pool.hosts.get_mut(key) else { return };
        if host.shared.as_ref().is_some_and(|(shared, _)| shared.is_same(gone)) {
            let gone = host.shared.take();
            drop(pool);
            drop(gone);
        }
    }

    fn watch(&self, mut pool: MutexGuard<'_, Pool<R>>) {
        let unwatched = !std::mem::replace(&mut pool.watched, true);
        drop(pool);
        if unwatched {
            self.shared.kept.notify(1);
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool<R>> {
        self.shared.pool()
    }
}

impl<R: Runtime> Shared<R> {
    fn pool(&self) -> MutexGuard<'_, Pool<R>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes what has been idle for too long; says when to look again, unless nothing is kept.
    fn close_idle(&self) -> Option<Instant> {
        let (now, limit) = (self.runtime.now(), self.limits.idle_time);
        let mut gone = (Vec::new(), Vec::new());
        let mut next: Option<Instant> = None;
        let mut pool = self.pool();
        for host in pool.hosts.values_mut() {
            // Those that were used last are at the end.
            let old = host.idle.iter().take_while(|open| now.saturating_duration_since(open.since) >= limit);
            let old = old.count();
            gone.0.extend(host.idle.drain(..old));
            let idle = host.shared.as_ref().is_some_and(|(shared, since)| {
                !shared.is_used() && now.saturating_duration_since(*since) >= limit
            });
            if idle {
                gone.1.extend(host.shared.take());
            }
            let first = host.idle.first().map(|open| open.since);
            let shared =
                host.shared.as_ref().map(|(shared, since)| if shared.is_used() { now } else { *since });
            for since in first.into_iter().chain(shared) {
                // Beyond all time: never.
                next = since.checked_add(limit).into_iter().chain(next).min();
            }
        }
        pool.hosts.retain(|_, host| host.is_known());
        pool.watched = next.is_some();
        drop(pool);
        drop(gone);
        next
    }
}

/// Closes a client's idle connections, until the client is gone.
pub(super) async fn close_idle<R: Runtime>(runtime: R, client: Weak<Shared<R>>, kept: Arc<Event>) {
    loop {
        let mut changed = kept.listen();
        let next = match client.upgrade() {
            Some(shared) => shared.close_idle(),
            None => return,
        };
        let Some(next) = next else {
            changed.await;
            continue;
        };
        let mut due = pin!(runtime.sleep_until(next));
        std::future::poll_fn(|cx| {
            let gone = Pin::new(&mut changed).poll(cx).is_ready();
            if gone || due.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

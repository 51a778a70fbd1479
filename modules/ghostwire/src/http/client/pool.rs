//! The connections that are kept for later requests.

use super::Client;
use super::exclusive::Open;
use super::multiplexed::Multiplexed;
use shroud_runtime::Runtime;
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

/// The connections of a client, by the keys of their hosts.
pub(super) struct Pool<R: Runtime> {
    idle: BTreeMap<String, Vec<Open<R>>>,
    shared: BTreeMap<String, (Multiplexed, Instant)>,
}

impl<R: Runtime> Default for Pool<R> {
    fn default() -> Self {
        Self { idle: BTreeMap::new(), shared: BTreeMap::new() }
    }
}

impl<R: Runtime> Client<R> {
    /// The server's HTTP/2 connection, if there is one that still works.
    pub(super) fn take_shared(&self, key: &str) -> Option<Multiplexed> {
        let now = self.shared.runtime.now();
        let mut pool = self.pool();
        let (shared, since) = pool.shared.get_mut(key)?;
        let idle = now.saturating_duration_since(*since) > self.shared.limits.idle_time;
        if idle && !shared.is_used() || !shared.is_open() {
            pool.shared.remove(key);
            return None;
        }
        *since = now;
        Some(shared.clone())
    }

    /// An idle HTTP/1.1 connection that still works, as far as can be told.
    pub(super) async fn take_idle(&self, key: &str) -> Option<Open<R>> {
        loop {
            let mut open = self.pool().idle.get_mut(key)?.pop()?;
            let age = self.shared.runtime.now().saturating_duration_since(open.since);
            if age <= self.shared.limits.idle_time && open.is_ready().await {
                return Some(open);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, key: &str, mut open: Open<R>) {
        if open.sender.is_closed() {
            return;
        }
        open.since = self.shared.runtime.now();
        let mut pool = self.pool();
        let list = match pool.idle.get_mut(key) {
            Some(list) => list,
            None => pool.idle.entry(key.to_owned()).or_default(),
        };
        if list.len() < self.shared.limits.idle_connections {
            list.push(open);
        }
    }

    /// Keeps an HTTP/2 connection for the next requests.
    pub(super) fn share(&self, key: &str, shared: Multiplexed) {
        let now = self.shared.runtime.now();
        self.pool().shared.insert(key.to_owned(), (shared, now));
    }

    fn pool(&self) -> MutexGuard<'_, Pool<R>> {
        self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

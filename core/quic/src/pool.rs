//! A client's connections, used again.

use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::error::{ConnectError, ConnectionError};
use quinn_proto::VarInt;
use shroud_runtime::Runtime;
use shroud_runtime::sync::Mutex as AsyncMutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A pool's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections at most, over all servers; beyond, the one that was not asked for longest is closed. Default 256.
    pub connections: usize,
    /// Connections not asked for in this time are closed when the pool is used next. Default 60 s.
    pub idle_time: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { connections: 256, idle_time: Duration::from_secs(60) }
    }
}

/// Why the pool has no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolConnectError {
    /// It could not be tried.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The handshake failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// A client's connections by server, one to each: a QUIC connection carries as many requests at once as its streams. A
/// connection that is closed, or lost, is not given out again. Clones are the same pool.
#[derive(Debug)]
pub struct ConnectionPool<R: Runtime> {
    shared: Arc<Shared<R>>,
}

impl<R: Runtime> Clone for ConnectionPool<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
struct Shared<R: Runtime> {
    runtime: R,
    endpoint: Endpoint<R>,
    config: ClientConfig,
    limits: PoolLimits,
    places: Mutex<BTreeMap<Key, Place>>,
}

type Key = (String, SocketAddr);

#[derive(Debug, Clone)]
struct Place {
    /// Held while a connection is being made, so that callers share one attempt.
    connection: Arc<AsyncMutex<Option<Connection>>>,
    used: Instant,
}

impl<R: Runtime> ConnectionPool<R> {
    /// An empty pool over an endpoint.
    #[must_use]
    pub fn new(runtime: &R, endpoint: Endpoint<R>, config: ClientConfig, limits: PoolLimits) -> Self {
        let shared = Shared { runtime: runtime.clone(), endpoint, config, limits, places: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// A connection to a server that is up: the one there is, or a new one. Callers that come while it is being made wait for
    /// the same.
    ///
    /// Cancel safety: cancel safe; an attempt that only this caller waited for is given up.
    ///
    /// # Errors
    /// [`PoolConnectError`]; the next caller tries anew.
    pub async fn get(&self, server_name: &str, address: SocketAddr) -> Result<Connection, PoolConnectError> {
        let place = self.place((server_name.to_owned(), address));
        let mut connection = place.lock().await;
        if let Some(there) = connection.as_ref().filter(|there| there.close_reason().is_none()) {
            return Ok(there.clone());
        }
        *connection = None;
        let fresh = self.shared.endpoint.connect(&self.shared.config, address, server_name)?.await?;
        *connection = Some(fresh.clone());
        Ok(fresh)
    }

    /// Connections that are kept, up or being made.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places().len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets go of all connections; those that nobody else holds are closed.
    pub fn clear(&self) {
        let places = std::mem::take(&mut *self.places());
        drop(places);
    }

    fn place(&self, key: Key) -> Arc<AsyncMutex<Option<Connection>>> {
        let now = self.shared.runtime.now();
        let limits = self.shared.limits;
        let mut gone = Vec::new();
        let mut places = self.places();
        let old: Vec<Key> = places
            .iter()
            .filter(|(other, place)| {
                **other != key && now.saturating_duration_since(place.used) > limits.idle_time
            })
            .map(|(key, _)| key.clone())
            .collect();
        gone.extend(old.iter().filter_map(|key| places.remove(key)));
        while !places.contains_key(&key) && places.len() >= limits.connections.max(1) {
            let oldest = places.iter().min_by_key(|(_, place)| place.used).map(|(key, _)| key.clone());
            gone.extend(oldest.and_then(|key| places.remove(&key)));
        }
        let place = places.entry(key).or_insert_with(|| Place { connection: Arc::default(), used: now });
        place.used = now;
        let connection = Arc::clone(&place.connection);
        drop(places);
        // Outside of the lock: what is dropped may close connections.
        drop(gone);
        connection
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Place>> {
        self.shared.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connection of the pool, and its endpoint, with an application's code.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        self.clear();
        self.shared.endpoint.close(code, reason);
    }
}

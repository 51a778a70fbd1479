//! The proxy on one shard: its clients, and the handler that servers are given.

use super::config::{Config, Route};
use super::connector::{Connector, PrepareError};
use super::forward::forward;
use super::path::{by_precedence, matches};
use super::upstream::Upstream;
use super::{Live, Proxy};
use crate::http::{Body, Handler, Request, Response};
use shroud_runtime::{Class, Runtime, Task};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

/// The proxy as a handler, for the servers of one shard. Clones are the same.
pub struct Forward<R: Runtime> {
    runtime: R,
    table: Arc<RwLock<Arc<Table<R>>>>,
    _renewal: Arc<Task<()>>,
}

impl<R: Runtime> Clone for Forward<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            table: Arc::clone(&self.table),
            _renewal: Arc::clone(&self._renewal),
        }
    }
}

impl<R: Runtime> std::fmt::Debug for Forward<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward").finish_non_exhaustive()
    }
}

/// What requests are forwarded by: one configuration with the clients for it. A request keeps the one it began with.
pub(super) struct Table<R: Runtime> {
    pub(super) config: Arc<Config>,
    routes: Vec<(Route, Arc<Group<R>>)>,
    groups: BTreeMap<String, Arc<Group<R>>>,
}

/// A group of servers with this shard's clients for them.
pub(super) struct Group<R: Runtime> {
    pub(super) upstream: Arc<Upstream>,
    pub(super) connectors: Vec<Connector<R>>,
}

impl<R: Runtime> Forward<R> {
    pub(super) async fn new(runtime: &R, proxy: &Proxy) -> Result<Self, PrepareError> {
        let mut changes = proxy.changes();
        let first = Table::build(runtime, &changes.get(), None).await?;
        let table = Arc::new(RwLock::new(Arc::new(first)));
        let renewal = {
            let (runtime, table) = (runtime.clone(), Arc::downgrade(&table));
            async move {
                while changes.changed().await.is_ok() {
                    let live = changes.get();
                    let Some(table) = table.upgrade() else { return };
                    let before = Arc::clone(&*table.read().unwrap_or_else(PoisonError::into_inner));
                    match Table::build(&runtime, &live, Some(&before)).await {
                        Ok(next) => {
                            *table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
                        }
                        Err(error) => tracing::error!(%error, "the new configuration cannot be used here"),
                    }
                }
            }
        };
        let renewal = runtime.spawn_in(Class::Network, "proxy-renewal", renewal);
        Ok(Self { runtime: runtime.clone(), table, _renewal: Arc::new(renewal) })
    }

    fn table(&self) -> Arc<Table<R>> {
        Arc::clone(&*self.table.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<R: Runtime> Handler for Forward<R> {
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        let (runtime, table) = (self.runtime.clone(), self.table());
        async move { Box::pin(forward(&runtime, &table, request)).await }
    }
}

impl<R: Runtime> Table<R> {
    /// Clients for groups that have not changed are taken over, with their connections.
    async fn build(runtime: &R, live: &Live, before: Option<&Self>) -> Result<Self, PrepareError> {
        let mut groups = BTreeMap::new();
        for (name, upstream) in &live.upstreams {
            let known = before.and_then(|before| before.groups.get(name));
            let group = match known.filter(|group| Arc::ptr_eq(&group.upstream, upstream)) {
                Some(group) => Arc::clone(group),
                None => {
                    let mut connectors = Vec::with_capacity(upstream.config.servers.len());
                    for server in &upstream.config.servers {
                        connectors.push(Connector::prepare(runtime, &upstream.config, server).await?);
                    }
                    Arc::new(Group { upstream: Arc::clone(upstream), connectors })
                }
            };
            groups.insert(name.clone(), group);
        }
        let mut routes = live.config.routes.clone();
        by_precedence(&mut routes);
        let routes = routes
            .into_iter()
            .filter_map(|route| groups.get(&route.upstream).map(|group| (route.clone(), Arc::clone(group))))
            .collect();
        Ok(Self { config: Arc::clone(&live.config), routes, groups })
    }

    /// The route for a host (without its port) and path.
    pub(super) fn route(&self, host: &str, path: &str) -> Option<(&Route, &Group<R>)> {
        let found = self.routes.iter().find(|(route, _)| matches(route, host, path));
        found.map(|(route, group)| (route, &**group))
    }
}

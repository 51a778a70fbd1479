//! Active health checks: one task for each server, on one shard.

use super::config::HealthCheck;
use super::connector::{Connector, PrepareError};
use super::upstream::Upstream;
use super::{Live, Proxy};
use crate::http::{Body, HeaderValue, Request, header};
use http::Uri;
use http::uri::Authority;
use shroud_runtime::sync::watch::Receiver;
use shroud_runtime::{Class, Runtime, RuntimeExt, Task};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Checks all servers that are to be checked, by the configuration of the moment, until the node is asked to stop.
pub(super) async fn run<R: Runtime>(runtime: R, proxy: Proxy) {
    let mut changes: Receiver<Arc<Live>> = proxy.changes();
    drop(proxy);
    let mut tasks: BTreeMap<String, (Arc<Upstream>, Vec<Task<()>>)> = BTreeMap::new();
    loop {
        let live = changes.get();
        tasks.retain(|name, (upstream, _)| {
            live.upstreams.get(name).is_some_and(|current| Arc::ptr_eq(current, upstream))
        });
        for (name, upstream) in &live.upstreams {
            let Some(check) = &upstream.config.health else { continue };
            if tasks.contains_key(name) {
                continue;
            }
            let spawn = |index| {
                let task = watch(runtime.clone(), Arc::clone(upstream), check.clone(), index);
                runtime.spawn_in(Class::Monitoring, "proxy-health", task)
            };
            let all = (0..upstream.config.servers.len()).map(spawn).collect();
            tasks.insert(name.clone(), (Arc::clone(upstream), all));
        }
        match runtime.until_stopping(changes.changed()).await {
            Some(Ok(())) => {}
            _ => return,
        }
    }
}

async fn watch<R: Runtime>(runtime: R, upstream: Arc<Upstream>, check: HealthCheck, index: usize) {
    let Some(server) = upstream.config.servers.get(index) else { return };
    let prepared: Result<Connector<R>, PrepareError> =
        Connector::prepare(&runtime, &upstream.config, server).await;
    let connector = match prepared {
        Ok(connector) => connector,
        Err(error) => return tracing::error!(%error, "no health checks"),
    };
    loop {
        let healthy = ask(&runtime, &connector, &check).await;
        upstream.checked(index, healthy);
        runtime.sleep(check.interval).await;
    }
}

/// One check: a response with one of the statuses, read to its end, in time.
async fn ask<R: Runtime>(runtime: &R, connector: &Connector<R>, check: &HealthCheck) -> bool {
    /// Of a response that nobody reads.
    const BODY: u64 = 1 << 20;
    let Ok(authority) = Authority::try_from(connector.address.authority()) else { return false };
    let uri = Uri::builder()
        .scheme(connector.scheme())
        .authority(authority)
        .path_and_query(check.path.clone())
        .build();
    let Ok(uri) = uri else { return false };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("shroud-health"));
    let exchange = async {
        let response = connector.send(request, Some(0)).await.map_err(|failure| failure.reason)?;
        let code = response.status().as_u16();
        response.into_body().bytes(BODY).await.map_err(|error| error.to_string())?;
        if check.statuses.contains(&code) { Ok(()) } else { Err(format!("it answered {code}")) }
    };
    let outcome = match runtime.timeout(check.timeout, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err("no answer in time".to_owned()),
    };
    if let Err(reason) = &outcome {
        tracing::debug!(server = %connector.address, reason, "a health check failed");
    }
    outcome.is_ok()
}

//! A monitor: reads the node's metrics now and then and keeps the highest of each.

use shroud_ghostwire::http::{Body, Client, ClientLimits, Request};
use shroud_runtime::{Runtime, RuntimeExt};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(250);

/// The highest value of each gauge.
pub type Highest = Arc<Mutex<BTreeMap<String, u64>>>;

/// Looks until it is dropped.
pub async fn watch<R: Runtime>(runtime: R, server: SocketAddr, highest: Highest) {
    let client = Client::new(runtime.clone(), ClientLimits::default());
    loop {
        runtime.sleep(EVERY).await;
        let Ok(request) = Request::get(format!("http://{server}/metrics")).body(Body::empty()) else {
            return;
        };
        let Ok(response) = client.send(request).await else { continue };
        let text = String::from_utf8_lossy(response.body());
        let mut highest = highest.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.split_once(' ') else { continue };
            let Ok(value) = value.parse::<u64>() else { continue };
            let most = highest.entry(name.to_owned()).or_default();
            *most = value.max(*most);
        }
    }
}

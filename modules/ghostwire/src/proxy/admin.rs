//! The statistics: JSON for programs, Prometheus text for monitoring.

use super::breaker::Circuit;
use super::pool::{Counts, ServerView};
use super::{Live, Proxy};
use crate::http::{Handler, HeaderValue, LATENCY_BUCKETS, Response, Router, handler_fn, header, json, text};
use crate::pages;
use serde_json::{Value, json as value};
use shroud_runtime::Runtime;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A group's state.
struct View {
    name: String,
    servers: Vec<ServerView>,
    counts: Counts,
    waiting: usize,
}

/// `GET /stats` (JSON), `/metrics` (Prometheus), `/health`, `/ready` (whether each group has a server that takes requests),
/// `/debug/tasks`.
pub(super) fn router<R: Runtime>(runtime: &R, proxy: &Proxy) -> Router {
    let (stats, metrics, ready) = (proxy.clone(), proxy.clone(), proxy.clone());
    let (clock, counted, looking) = (runtime.clone(), runtime.clone(), runtime.clone());
    Router::new()
        .get("/health", pages::health())
        .get("/ready", pages::ready(move || readiness(&ready, looking.now())))
        .get(
            "/stats",
            handler_fn(move |_| {
                let page = to_json(&stats, clock.now()).to_string();
                async move { json(page) }
            }),
        )
        .get("/metrics", metrics_page(counted, metrics))
        .get("/debug/tasks", pages::tasks(runtime.clone()))
}

fn metrics_page<R: Runtime>(runtime: R, proxy: Proxy) -> impl Handler {
    handler_fn(move |_| {
        let mut page = String::with_capacity(16 * 1024);
        pages::task_metrics(&runtime, &mut page);
        proxy.metrics().render(&mut page);
        render(&proxy, runtime.now(), &mut page);
        let mut response: Response<_> = text(page);
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        async move { response }
    })
}

fn views(live: &Arc<Live>, now: Instant) -> Vec<View> {
    live.upstreams
        .iter()
        .map(|(name, upstream)| {
            let (servers, counts, waiting) = upstream.views(now);
            View { name: name.clone(), servers, counts, waiting }
        })
        .collect()
}

fn takes_requests(server: &ServerView) -> bool {
    server.up && server.circuit != Circuit::Open
}

fn readiness(proxy: &Proxy, now: Instant) -> Result<(), String> {
    let down: Vec<String> = views(&proxy.live(), now)
        .into_iter()
        .filter(|group| !group.servers.iter().any(takes_requests))
        .map(|group| group.name)
        .collect();
    if down.is_empty() { Ok(()) } else { Err(format!("no server takes requests in: {}", down.join(", "))) }
}

fn circuit_name(circuit: Circuit) -> &'static str {
    match circuit {
        Circuit::Closed => "closed",
        Circuit::Open => "open",
        Circuit::HalfOpen => "half-open",
    }
}

fn to_json(proxy: &Proxy, now: Instant) -> Value {
    let live = proxy.live();
    let mut groups = serde_json::Map::new();
    for group in views(&live, now) {
        let servers: Vec<Value> = group
            .servers
            .iter()
            .map(|server| {
                let answered: u64 = server.stats.latency.iter().sum();
                value!({
                    "address": server.address,
                    "weight": server.weight,
                    "up": server.up,
                    "circuit": circuit_name(server.circuit),
                    "in_flight": server.in_flight,
                    "requests": server.stats.requests,
                    "failures": server.stats.failures,
                    "answered": answered,
                    "latency_seconds": server.stats.latency_sum.as_secs_f64(),
                    "checks": server.stats.checks,
                    "failed_checks": server.stats.failed_checks,
                })
            })
            .collect();
        let entry = value!({
            "servers": servers,
            "waiting": group.waiting,
            "retries": group.counts.retries,
            "retries_denied": group.counts.retries_denied,
            "refused_busy": group.counts.refused,
            "refused_down": group.counts.unavailable,
        });
        groups.insert(group.name, entry);
    }
    let (reloads, rejected) = proxy.reloads();
    value!({
        "generation": live.generation,
        "reloads": reloads,
        "reloads_rejected": rejected,
        "connections": proxy.metrics().connections(),
        "requests": proxy.metrics().requests(),
        "upstreams": groups,
    })
}

/// Appends everything as Prometheus text (exposition format 0.0.4).
fn render(proxy: &Proxy, now: Instant, out: &mut String) {
    let live = proxy.live();
    let groups = views(&live, now);
    let (reloads, rejected) = proxy.reloads();
    for (name, kind, help, number) in [
        ("shroud_proxy_generation", "gauge", "Configurations taken so far.", live.generation),
        ("shroud_proxy_reloads_total", "counter", "Configurations taken after the first.", reloads),
        (
            "shroud_proxy_reloads_rejected_total",
            "counter",
            "Configurations that could not be used.",
            rejected,
        ),
    ] {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {number}");
    }
    let mut of_groups = |name: &str, kind: &str, help: &str, number: &dyn Fn(&View) -> u64| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for group in &groups {
            let _ = writeln!(out, "{name}{{upstream=\"{}\"}} {}", label(&group.name), number(group));
        }
    };
    of_groups("shroud_proxy_waiting", "gauge", "Requests that wait for a server.", &|group| {
        wide(group.waiting)
    });
    of_groups("shroud_proxy_retries_total", "counter", "Requests sent again.", &|group| group.counts.retries);
    of_groups("shroud_proxy_retries_denied_total", "counter", "Retries beyond the budget.", &|group| {
        group.counts.retries_denied
    });
    of_groups("shroud_proxy_refused_busy_total", "counter", "Requests refused at a full queue.", &|group| {
        group.counts.refused
    });
    of_groups("shroud_proxy_refused_down_total", "counter", "Requests refused with no server.", &|group| {
        group.counts.unavailable
    });
    let mut of_servers = |name: &str, kind: &str, help: &str, number: &dyn Fn(&ServerView) -> u64| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for group in &groups {
            for server in &group.servers {
                let labels = labels(group, server);
                let _ = writeln!(out, "{name}{{{labels}}} {}", number(server));
            }
        }
    };
    of_servers("shroud_proxy_requests_total", "counter", "Requests sent.", &|server| server.stats.requests);
    of_servers("shroud_proxy_failures_total", "counter", "Requests that failed.", &|server| {
        server.stats.failures
    });
    of_servers("shroud_proxy_in_flight", "gauge", "Requests in work.", &|server| wide(server.in_flight));
    of_servers("shroud_proxy_up", "gauge", "1 while health checks succeed.", &|server| u64::from(server.up));
    of_servers("shroud_proxy_circuit", "gauge", "0 closed, 1 half-open, 2 open.", &|server| match server
        .circuit
    {
        Circuit::Closed => 0,
        Circuit::HalfOpen => 1,
        Circuit::Open => 2,
    });
    of_servers("shroud_proxy_checks_total", "counter", "Health checks.", &|server| server.stats.checks);
    of_servers("shroud_proxy_failed_checks_total", "counter", "Health checks that failed.", &|server| {
        server.stats.failed_checks
    });
    render_latency(&groups, out);
}

fn render_latency(groups: &[View], out: &mut String) {
    let name = "shroud_proxy_response_seconds";
    let _ = writeln!(out, "# HELP {name} From sending to the response's head.\n# TYPE {name} histogram");
    for group in groups {
        for server in &group.servers {
            let labels = labels(group, server);
            let mut total = 0_u64;
            let bounds = LATENCY_BUCKETS.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64());
            let bounds = bounds.map(|bound| bound.to_string()).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(&server.stats.latency) {
                total = total.wrapping_add(*count);
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}");
            }
            let sum = server.stats.latency_sum.as_secs_f64();
            let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {total}");
        }
    }
}

fn labels(group: &View, server: &ServerView) -> String {
    format!("upstream=\"{}\",server=\"{}\"", label(&group.name), label(&server.address))
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

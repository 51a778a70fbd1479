//! The pages that every node has: `/health`, `/ready`, `/metrics`, `/debug/tasks`.

use crate::http::{Handler, HeaderValue, Metrics, Response, StatusCode, handler_fn, header, refusal, text};
use shroud_runtime::Runtime;
use std::fmt::Write as _;

/// Liveness: 200 as long as the node can answer at all.
pub fn health() -> impl Handler {
    handler_fn(|_| async { text("ok\n") })
}

/// Readiness: 200, or 503 with the reason that `check` gives.
pub fn ready(check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> impl Handler {
    handler_fn(move |_| {
        let checked = check();
        async move {
            match checked {
                Ok(()) => text("ready\n"),
                Err(reason) => refusal(StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
            }
        }
    })
}

/// Prometheus metrics: the node's tasks, the HTTP server's counters, and what `more` appends.
pub fn metrics<R: Runtime>(
    runtime: R,
    http: Metrics,
    more: impl Fn(&mut String) + Send + Sync + 'static,
) -> impl Handler {
    handler_fn(move |_| {
        let mut page = String::with_capacity(16 * 1024);
        task_metrics(&runtime, &mut page);
        http.render(&mut page);
        more(&mut page);
        let mut response: Response<_> = text(page);
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        async move { response }
    })
}

/// The live task trees of all shards, as text.
pub fn tasks<R: Runtime>(runtime: R) -> impl Handler {
    handler_fn(move |_| {
        let dump: String = runtime.trees().iter().map(|tree| tree.dump()).collect();
        async move { text(dump) }
    })
}

/// Appends the statistics of all shards' tasks, by name and class, as Prometheus text.
pub fn task_metrics<R: Runtime>(runtime: &R, out: &mut String) {
    let kinds: Vec<_> = runtime
        .trees()
        .iter()
        .flat_map(|tree| tree.kinds().into_iter().map(|kind| (tree.shard().index, kind)).collect::<Vec<_>>())
        .collect();
    let mut family =
        |name: &str, kind: &str, help: &str, value: &dyn Fn(&shroud_runtime::task::KindStats) -> String| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (shard, stats) in &kinds {
                let _ = writeln!(
                    out,
                    "{name}{{shard=\"{shard}\",class=\"{}\",name=\"{}\"}} {}",
                    stats.class,
                    stats.name,
                    value(stats)
                );
            }
        };
    family("shroud_tasks", "gauge", "Tasks that have not ended.", &|stats| stats.live.to_string());
    family("shroud_tasks_spawned_total", "counter", "Tasks ever spawned.", &|stats| {
        stats.spawned.to_string()
    });
    family("shroud_tasks_completed_total", "counter", "Tasks that returned.", &|stats| {
        stats.completed.to_string()
    });
    family("shroud_tasks_failed_total", "counter", "Tasks that panicked.", &|stats| stats.failed.to_string());
    family("shroud_tasks_cancelled_total", "counter", "Tasks that were cancelled.", &|stats| {
        stats.cancelled.to_string()
    });
    family("shroud_task_polls_total", "counter", "Polls.", &|stats| stats.polls.to_string());
    family("shroud_task_busy_seconds_total", "counter", "Time inside polls.", &|stats| {
        stats.busy.as_secs_f64().to_string()
    });
    family("shroud_task_longest_poll_seconds", "gauge", "The longest single poll.", &|stats| {
        stats.longest_poll.as_secs_f64().to_string()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Body, Request};
    use futures_lite::future::block_on;

    fn ask(handler: &impl Handler) -> (u16, String) {
        block_on(async {
            let response = handler.handle(Request::new(Body::empty())).await;
            let status = response.status().as_u16();
            let body = response.into_body().bytes(1 << 20).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    #[test]
    fn readiness_tells_the_reason() {
        assert_eq!(ask(&health()), (200, "ok\n".to_owned()));
        assert_eq!(ask(&ready(|| Ok(()))), (200, "ready\n".to_owned()));
        let replaying = ready(|| Err("replaying the journal".to_owned()));
        assert_eq!(ask(&replaying), (503, "replaying the journal\n".to_owned()));
    }
}

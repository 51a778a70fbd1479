//! What a server counts, and its Prometheus text.

use http::StatusCode;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Upper bounds of the latency histogram, in microseconds; a last bucket takes the rest.
pub const LATENCY_BUCKETS: [u64; 14] =
    [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000, 10_000_000];

/// Counters are kept this many times over, so that connections on different cores do not share a cache line.
const STRIPES: usize = 8;

/// Status codes 100 to 599.
const STATUSES: usize = 500;

/// What all servers that were given a clone of it have counted.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    next: AtomicUsize,
    /// What counts the requests in work of each server.
    in_work: Mutex<Vec<Weak<AtomicUsize>>>,
    stripes: [Arc<Stripe>; STRIPES],
}

/// The counters of some of the connections.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Stripe {
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    abandoned: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// Requests that were answered 200, by latency: nearly all, and one counter less to add to.
    succeeded: [AtomicU64; LATENCY_BUCKETS.len() + 1],
    /// All others, by latency and by status.
    others: [AtomicU64; LATENCY_BUCKETS.len() + 1],
    statuses: [AtomicU64; STATUSES],
    latency_nanos: AtomicU64,
    timeouts: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        let stripes = std::array::from_fn(|_| Arc::new(Stripe::new()));
        let in_work = Mutex::default();
        Self { shared: Arc::new(Shared { next: AtomicUsize::new(0), in_work, stripes }) }
    }

    /// Counters for one connection to use.
    pub(crate) fn stripe(&self) -> Arc<Stripe> {
        let index = self.shared.next.fetch_add(1, Relaxed) % STRIPES;
        let [first, ..] = &self.shared.stripes;
        Arc::clone(self.shared.stripes.get(index).unwrap_or(first))
    }

    /// A counter of requests in work, for a server to keep.
    pub(crate) fn in_work(&self) -> Arc<AtomicUsize> {
        let counter = Arc::default();
        let mut counters = self.counters();
        counters.retain(|counter| counter.strong_count() > 0);
        counters.push(Arc::downgrade(&counter));
        counter
    }

    fn counters(&self) -> MutexGuard<'_, Vec<Weak<AtomicUsize>>> {
        self.shared.in_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sum(&self, counter: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.shared.stripes.iter().fold(0_u64, |sum, stripe| sum.wrapping_add(counter(stripe).load(Relaxed)))
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.sum(|stripe| &stripe.opened).saturating_sub(self.sum(|stripe| &stripe.closed))
    }

    /// Requests that have ended: answered, or their client went away before.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let counts = |stripe: &Stripe| {
            let answered = stripe.succeeded.iter().chain(&stripe.others);
            answered.fold(stripe.abandoned.load(Relaxed), |sum, count| sum.wrapping_add(count.load(Relaxed)))
        };
        self.shared.stripes.iter().fold(0, |sum, stripe| sum.wrapping_add(counts(stripe)))
    }

    /// Appends everything as Prometheus text (exposition format 0.0.4).
    pub fn render(&self, out: &mut String) {
        let mut simple = |name: &str, kind: &str, help: &str, value: u64| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        let open = self.connections();
        simple("shroud_http_connections", "gauge", "Connections that are open.", open);
        let opened = self.sum(|stripe| &stripe.opened);
        simple("shroud_http_connections_total", "counter", "Connections accepted.", opened);
        let refused = self.sum(|stripe| &stripe.refused);
        simple(
            "shroud_http_connections_refused_total",
            "counter",
            "Connections refused, at the limit or for want of a PROXY header.",
            refused,
        );
        let timeouts = self.sum(|stripe| &stripe.timeouts);
        simple("shroud_http_timeouts_total", "counter", "Connections that ran into a time limit.", timeouts);
        let running: usize =
            self.counters().iter().filter_map(Weak::upgrade).map(|counter| counter.load(Relaxed)).sum();
        let running = u64::try_from(running).unwrap_or(u64::MAX);
        simple("shroud_http_requests_in_flight", "gauge", "Requests in work.", running);
        let abandoned = self.sum(|stripe| &stripe.abandoned);
        let help = "Requests whose client went away before the answer.";
        simple("shroud_http_requests_abandoned_total", "counter", help, abandoned);
        let received = self.sum(|stripe| &stripe.received);
        simple("shroud_http_received_bytes_total", "counter", "Bytes read from clients.", received);
        let sent = self.sum(|stripe| &stripe.sent);
        simple("shroud_http_sent_bytes_total", "counter", "Bytes written to clients.", sent);
        self.render_statuses(out);
        self.render_latency(out);
    }

    fn render_statuses(&self, out: &mut String) {
        let name = "shroud_http_requests_total";
        let _ = writeln!(out, "# HELP {name} Requests answered, by status.\n# TYPE {name} counter");
        for (offset, code) in (100..600_u16).enumerate() {
            let count = self.shared.stripes.iter().fold(0_u64, |sum, stripe| {
                let sum =
                    sum.wrapping_add(stripe.statuses.get(offset).map_or(0, |count| count.load(Relaxed)));
                let succeeded = stripe.succeeded.iter().filter(|_| code == StatusCode::OK.as_u16());
                succeeded.fold(sum, |sum, count| sum.wrapping_add(count.load(Relaxed)))
            });
            if count > 0 {
                let _ = writeln!(out, "{name}{{status=\"{code}\"}} {count}");
            }
        }
    }

    fn render_latency(&self, out: &mut String) {
        let name = "shroud_http_request_duration_seconds";
        let _ = writeln!(
            out,
            "# HELP {name} From a request's header to its response's.\n# TYPE {name} histogram"
        );
        let mut total = 0_u64;
        let bounds = LATENCY_BUCKETS.iter().map(|micros| Some(*micros)).chain([None]);
        for (index, bound) in bounds.enumerate() {
            total = self.shared.stripes.iter().fold(total, |sum, stripe| {
                [&stripe.succeeded, &stripe.others].into_iter().fold(sum, |sum, counts| {
                    sum.wrapping_add(counts.get(index).map_or(0, |count| count.load(Relaxed)))
                })
            });
            let _ = match bound {
                Some(micros) => {
                    writeln!(
                        out,
                        "{name}_bucket{{le=\"{}\"}} {total}",
                        Duration::from_micros(micros).as_secs_f64()
                    )
                }
                None => writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {total}"),
            };
        }
        let nanos = self.sum(|stripe| &stripe.latency_nanos);
        let _ = writeln!(out, "{name}_sum {}", Duration::from_nanos(nanos).as_secs_f64());
        let _ = writeln!(out, "{name}_count {total}");
    }
}

impl Stripe {
    fn new() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self {
            opened: zero(0),
            closed: zero(0),
            refused: zero(0),
            abandoned: zero(0),
            received: zero(0),
            sent: zero(0),
            succeeded: std::array::from_fn(zero),
            others: std::array::from_fn(zero),
            statuses: std::array::from_fn(zero),
            latency_nanos: zero(0),
            timeouts: zero(0),
        }
    }

    pub(crate) fn connection_opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn timed_out(&self) {
        self.timeouts.fetch_add(1, Relaxed);
    }

    pub(crate) fn request_answered(&self, status: StatusCode, took: Duration) {
        let latency = if status == StatusCode::OK {
            &self.succeeded
        } else {
            let code = usize::from(status.as_u16().saturating_sub(100));
            if let Some(count) = self.statuses.get(code) {
                count.fetch_add(1, Relaxed);
            }
            &self.others
        };
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BUCKETS.iter().position(|micros| nanos / 1_000 <= *micros);
        if let Some(count) = latency.get(bucket.unwrap_or(LATENCY_BUCKETS.len())) {
            count.fetch_add(1, Relaxed);
        }
        self.latency_nanos.fetch_add(nanos, Relaxed);
    }

    /// The client went away before the answer.
    pub(crate) fn request_abandoned(&self) {
        self.abandoned.fetch_add(1, Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_was_counted() {
        let metrics = Metrics::new();
        for (status, micros) in [(200, 10), (200, 60), (404, 20_000_000)] {
            let stripe = metrics.stripe();
            stripe.connection_opened();
            stripe.received(100);
            stripe.request_answered(StatusCode::from_u16(status).unwrap(), Duration::from_micros(micros));
        }
        metrics.stripe().connection_closed();
        metrics.stripe().request_abandoned();
        let in_work = [metrics.in_work(), metrics.in_work()];
        in_work.iter().for_each(|server| server.store(2, Relaxed));
        drop(metrics.in_work());
        let mut text = String::new();
        metrics.render(&mut text);
        for line in [
            "shroud_http_connections 2",
            "shroud_http_connections_total 3",
            "shroud_http_requests_in_flight 4",
            "shroud_http_requests_abandoned_total 1",
            "shroud_http_received_bytes_total 300",
            "shroud_http_requests_total{status=\"200\"} 2",
            "shroud_http_requests_total{status=\"404\"} 1",
            "shroud_http_request_duration_seconds_bucket{le=\"0.000025\"} 1",
            "shroud_http_request_duration_seconds_bucket{le=\"0.0001\"} 2",
            "shroud_http_request_duration_seconds_bucket{le=\"10\"} 2",
            "shroud_http_request_duration_seconds_bucket{le=\"+Inf\"} 3",
            "shroud_http_request_duration_seconds_count 3",
            "shroud_http_request_duration_seconds_sum 20.00007",
        ] {
            assert!(text.lines().any(|got| got == line), "missing {line} in\n{text}");
        }
    }
}

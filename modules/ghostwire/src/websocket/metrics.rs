//! What WebSocket servers count, and its Prometheus text.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What all servers that were given a clone of it have counted. The connections' bytes count in the HTTP server's metrics.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn refused(&self) {
        self.shared.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn failed(&self) {
        self.shared.failed.fetch_add(1, Relaxed);
    }

    /// Counts a connection while the result lives.
    pub(super) fn open(&self) -> OpenGuard {
        self.shared.opened.fetch_add(1, Relaxed);
        OpenGuard(self.clone())
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        let Shared { opened, closed, .. } = &*self.shared;
        opened.load(Relaxed).saturating_sub(closed.load(Relaxed))
    }

    /// Appends everything as Prometheus text (exposition format 0.0.4).
    pub fn render(&self, out: &mut String) {
        let mut simple = |name: &str, kind: &str, help: &str, value: u64| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        let Shared { opened, refused, failed, .. } = &*self.shared;
        let help = "WebSocket connections that are open.";
        simple("shroud_websocket_connections", "gauge", help, self.connections());
        let help = "WebSocket connections opened.";
        simple("shroud_websocket_connections_total", "counter", help, opened.load(Relaxed));
        let help = "Handshakes refused.";
        simple("shroud_websocket_handshakes_refused_total", "counter", help, refused.load(Relaxed));
        let help = "Connections whose peer broke the protocol or a limit.";
        simple("shroud_websocket_failures_total", "counter", help, failed.load(Relaxed));
    }
}

/// Counts the end of a connection, however it comes.
#[derive(Debug)]
pub(super) struct OpenGuard(Metrics);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.shared.closed.fetch_add(1, Relaxed);
    }
}

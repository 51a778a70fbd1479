//! What a side of a call lets the other do, and how it sends.

use hyper::rt::{Sleep, Timer};
use shroud_hyper::HyperTimer;
use shroud_runtime::Runtime;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Limits of messages, and how they are sent. Defaults suit a server on the open internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a received message, as it came and decompressed: `RESOURCE_EXHAUSTED` beyond. Default 4 MiB.
    pub message_bytes: usize,
    /// From a message's first byte to its last: `DEADLINE_EXCEEDED` beyond. Between messages there is no limit but the
    /// call's deadline. Default 30 s.
    pub message_time: Duration,
    /// Compresses what is sent (gzip), to peers that say they take it. A secret beside what a stranger chose, in one
    /// message, shows by the length. Messages that come compressed are always understood. Default no.
    pub compress: bool,
    /// Messages shorter than this are sent as they are all the same. Default 1 KiB.
    pub compress_from_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            message_bytes: 4 * 1024 * 1024,
            message_time: Duration::from_secs(30),
            compress: false,
            compress_from_bytes: 1024,
        }
    }
}

/// A deadline further away than this is none.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The seam's clock, without its type.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Timer + Send + Sync>);

impl Clock {
    pub(super) fn of<R: Runtime>(runtime: &R) -> Self {
        Self(Arc::new(HyperTimer::new(runtime.clone())))
    }

    pub(super) fn sleep(&self, time: Duration) -> Pin<Box<dyn Sleep>> {
        self.0.sleep(time.min(LONGEST))
    }

    pub(super) fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.0.sleep_until(deadline)
    }

    /// When `timeout` is over, unless that is too far away to matter.
    pub(super) fn deadline(&self, timeout: Option<Duration>) -> Option<Instant> {
        timeout.filter(|timeout| *timeout <= LONGEST).and_then(|timeout| self.0.now().checked_add(timeout))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

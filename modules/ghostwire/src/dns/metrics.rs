//! What a server counts, over all its transports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A server's counters. Clones are the same counters.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    questions: AtomicU64,
    refused: AtomicU64,
    ignored: AtomicU64,
    truncated: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
    connections: AtomicU64,
    connections_refused: AtomicU64,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident, $count:ident;)*) => {
        impl Metrics {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> u64 {
                self.counters.$name.load(Ordering::Relaxed)
            }

            pub(super) fn $count(&self) {
                self.counters.$name.fetch_add(1, Ordering::Relaxed);
            })*
        }
    };
}

counters! {
    /// Questions that a handler was asked.
    questions, count_question;
    /// Messages that were answered FORMERR, NOTIMP, REFUSED or BADVERS without asking a handler.
    refused, count_refused;
    /// Messages that were not answered: responses, and what has no whole header.
    ignored, count_ignored;
    /// Answers over UDP that were truncated.
    truncated, count_truncated;
    /// Questions whose handler panicked or took too long.
    failed, count_failed;
    /// Connections dropped because a client was too slow.
    timed_out, count_timed_out;
    /// Connections taken.
    connections, count_connection;
    /// Connections beyond the limit.
    connections_refused, count_connection_refused;
}

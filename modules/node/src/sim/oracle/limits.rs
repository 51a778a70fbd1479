//! Queues and counters stay within their limits: load is shed with errors.

use crate::sim::evidence::Evidence;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Some(over) = evidence.limits.iter().find(|measured| measured.seen > measured.limit) else {
        return Ok(());
    };
    Err(format!("{} reached {}; the limit is {}", over.what, over.seen, over.limit))
}

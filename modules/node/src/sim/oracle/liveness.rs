//! Once faults stop, every retried request completes within a stated virtual time.

use crate::sim::evidence::{Evidence, Progress};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Progress { healed, finished, allowed, unfinished } = evidence.progress;
    let Some(finished) = finished.filter(|_| unfinished == 0) else {
        return Err(format!(
            "{unfinished} clients were still waiting {allowed:?} after the last fault ended at {healed:?}"
        ));
    };
    let took = finished.saturating_sub(healed);
    if took <= allowed {
        return Ok(());
    }
    Err(format!(
        "the last answer came {took:?} after the last fault ended at {healed:?}; {allowed:?} are allowed"
    ))
}

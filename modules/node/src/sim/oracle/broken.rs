//! Nothing that reports trouble was ignored: panics, deadlocks, wrong answers.

use crate::sim::evidence::Evidence;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    evidence.broken.first().map_or(Ok(()), |first| Err(first.clone()))
}

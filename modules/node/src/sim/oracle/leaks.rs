//! After a clean stop nothing is left: no task, no open socket, no open file.

use crate::sim::evidence::Evidence;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Some(left) = evidence.leaks.iter().find(|measured| measured.seen > measured.limit) else {
        return Ok(());
    };
    Err(format!("{} {} are left after a clean stop; there were {} before", left.seen, left.what, left.limit))
}

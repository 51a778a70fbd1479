//! Where faults go beyond what the node claims to survive, it owes right answers or a refusal that names the place: the file
//! or the segment, and where in it. What the disk lied about may be gone; nothing else may, and no answer may be wrong.

use crate::sim::evidence::{Beyond, Evidence};
use crate::sim::history::Outcome;
use crate::sim::model::{Call, LedgerOperation, Reply};
use crate::sim::oracle::Violation;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long an answer may be under way.
const SLACK: Duration = Duration::from_secs(1);

/// Splits off what is excused, so that the other oracles judge the rest. What is left of the refusals is imprecise.
pub(super) fn excuse(evidence: &Evidence, beyond: &Beyond) -> (Evidence, Vec<Violation>) {
    let mut rest = Evidence { beyond: None, ..evidence.clone() };
    let mut violations = Vec::new();
    let mut complain = |message| violations.push(Violation { oracle: "beyond", message });
    for refusal in beyond.refusals.iter().filter(|refusal| !is_precise(refusal)) {
        complain(format!("a refusal does not say where: {refusal}"));
    }
    let Some(chain) = &mut rest.chain else {
        if beyond.refusals.is_empty() {
            complain("the node does not serve, and has not said why".to_owned());
        }
        return (rest, violations);
    };
    // An audit that finds the damage has done its work.
    if let Some(Err(error)) = &chain.audit {
        if !is_precise(error) {
            complain(format!("the audit does not say where: {error}"));
        }
        chain.audit = None;
    }
    let present: BTreeSet<_> = chain.committed.iter().map(|one| (one.hash, one.receipt.height)).collect();
    let lied = |operation: &LedgerOperation| {
        let at = operation.times.1;
        beyond.lied.iter().any(|(from, to)| *from <= at && at <= *to + SLACK)
    };
    // One that was sent again after its block was gone is there, in another block.
    let is_lost = |operation: &LedgerOperation| match (&operation.call, &operation.outcome) {
        (Call::Submit(submit), Outcome::Done(Reply::Included(receipt))) => {
            !present.contains(&(submit.hash, receipt.height))
        }
        _ => false,
    };
    if rest.history.iter().any(|operation| is_lost(operation) && lied(operation)) {
        for operation in rest.history.iter_mut().filter(|operation| lied(operation)) {
            (operation.outcome, operation.returned) = (Outcome::Unknown, None);
        }
    }
    (rest, violations)
}

/// Whether a message names a segment or a file, and a place in it or an operation on it.
fn is_precise(message: &str) -> bool {
    let segment = message.contains("segment") && message.contains("offset");
    let file = message.contains("/data/") || message.contains("data/");
    let missing = message.contains("segment") && message.contains("missing");
    segment || file || missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_segment_with_an_offset_or_a_file() {
        for precise in [
            "journal segment 3 is damaged at offset 4096: bad",
            "/data/state/log at offset 77: a value is not what was written",
            "journal segment 2 is missing: there are later ones",
        ] {
            assert!(is_precise(precise), "{precise}");
        }
        for vague in ["the ledger has stopped", "internal error", "damaged"] {
            assert!(!is_precise(vague), "{vague}");
        }
    }
}

//! Each operation seems to take effect at one moment between its invocation and its answer.

use crate::sim::evidence::Evidence;
use crate::sim::history::Outcome;
use crate::sim::linear::{NotLinear, check_components};
use crate::sim::model::{Call, LedgerOperation};
use std::collections::BTreeSet;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Some(chain) = &evidence.chain else { return Ok(()) };
    let model = evidence.model.with_chain(&chain.committed);
    let history = telling(&evidence.history);
    let Err(error) = check_components(&model, &history) else { return Ok(()) };
    let mut message = error.to_string();
    if let NotLinear::NoOrder { stuck, .. } = error {
        for operation in stuck.iter().take(3).filter_map(|place| history.get(*place)) {
            message.push_str(&format!("\n    {operation:?}"));
        }
    }
    Err(message)
}

/// The operations that say something. A read without an answer says nothing, and neither does a transaction that was sent
/// again while it was unknown whether an earlier sending had an effect: whatever it could do, the earlier one could.
fn telling(history: &[LedgerOperation]) -> Vec<LedgerOperation> {
    let mut open = BTreeSet::new();
    let says = |operation: &&LedgerOperation| match (&operation.call, &operation.outcome) {
        (Call::Submit(submit), Outcome::Unknown) => open.insert(submit.hash),
        (_, Outcome::Unknown) => false,
        _ => true,
    };
    history.iter().filter(says).cloned().collect()
}

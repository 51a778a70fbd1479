//! Each operation seems to take effect at one moment between its invocation and its answer, in the order that the ledger
//! says it committed.
//!
//! The committed order is tried first: it needs no search, and one that explains every answer is all that linearizability
//! asks for. When it does not, the search says whether any other order would, which tells a wrong order from a wrong answer.

use crate::sim::evidence::Evidence;
use crate::sim::history::Outcome;
use crate::sim::linear::{NotLinear, check_components};
use crate::sim::model::{Call, LedgerOperation};
use crate::sim::serial;
use std::collections::BTreeSet;

/// Operations that a message names at most.
const MAX_SHOWN: usize = 8;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Some(chain) = &evidence.chain else { return Ok(()) };
    let model = evidence.model.with_chain(&chain.committed);
    let serial = serial::check(&model, &chain.committed, &evidence.requested, &evidence.history);
    let Err(unexplained) = serial else { return Ok(()) };
    let mut message = format!("the committed order does not explain the answers: {unexplained}");
    let mut show = |operation: &LedgerOperation| message.push_str(&format!("\n    {operation:?}"));
    evidence.history.get(unexplained.place()).into_iter().for_each(&mut show);
    let history = telling(&evidence.history);
    match check_components(&model, &history) {
        Ok(()) => message.push_str("\n    another order would explain them"),
        Err(error) => {
            message.push_str(&format!("\n    and {error}"));
            if let NotLinear::NoOrder { stuck, .. } = error {
                // Those that were answered tell most: one of the answers cannot be.
                let (answered, open): (Vec<_>, Vec<_>) = stuck
                    .iter()
                    .filter_map(|place| history.get(*place))
                    .partition(|operation| operation.returned.is_some());
                for operation in answered.into_iter().chain(open).take(MAX_SHOWN) {
                    message.push_str(&format!("\n    {operation:?}"));
                }
            }
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

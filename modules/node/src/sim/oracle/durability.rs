//! What was acknowledged is in the final chain, whatever crashed in between.

use crate::sim::evidence::Evidence;
use crate::sim::history::Outcome;
use crate::sim::model::{Call, Reply};
use std::collections::BTreeSet;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Some(chain) = &evidence.chain else { return Ok(()) };
    let present: BTreeSet<_> = chain.committed.iter().map(|one| one.hash).collect();
    for operation in &evidence.history {
        let (Call::Submit(submit), Outcome::Done(Reply::Included(told))) =
            (&operation.call, &operation.outcome)
        else {
            continue;
        };
        if !present.contains(&submit.hash) {
            return Err(format!(
                "transaction {} (nonce {}) was acknowledged to client {} in block {} and is gone",
                submit.hash, submit.nonce, operation.client, told.height
            ));
        }
    }
    Ok(())
}

//! The state that the node commits to is the one that a replay of its journal from genesis gives.

use crate::sim::evidence::Evidence;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Some(chain) = &evidence.chain else { return Ok(()) };
    let Some(audit) = &chain.audit else { return Ok(()) };
    let (height, root, transactions) =
        audit.as_ref().map_err(|error| format!("the audit failed: {error}"))?;
    if (*height, *root) != chain.tip {
        let (stated, commitment) = chain.tip;
        return Err(format!(
            "the node says height {stated} and commitment {commitment}, a replay of its journal gives {height} and {root}"
        ));
    }
    let told = chain.committed.len() as u64;
    if *transactions != told {
        return Err(format!("the journal holds {transactions} transactions, the node tells of {told}"));
    }
    Ok(())
}

//! No effect without a request, and none twice: every committed transaction was signed by a client, once, and each
//! account's nonces run without gap or repetition.

use crate::sim::evidence::Evidence;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Some(chain) = &evidence.chain else { return Ok(()) };
    let (mut seen, mut next) = (BTreeSet::new(), BTreeMap::new());
    for one in &chain.committed {
        let Some(request) = evidence.requested.get(&one.hash) else {
            return Err(format!(
                "transaction {} is in block {} and nobody sent it",
                one.hash, one.receipt.height
            ));
        };
        if !seen.insert(one.hash) {
            return Err(format!("transaction {} is in the chain twice", one.hash));
        }
        if (request.from, request.nonce) != (one.from, one.nonce) {
            return Err(format!(
                "transaction {} appears with another sender or nonce than it was signed with",
                one.hash
            ));
        }
        let next: &mut u64 = next.entry(one.from).or_default();
        if one.nonce != *next {
            return Err(format!(
                "account {}: nonce {} was committed where {next} was due",
                one.from, one.nonce
            ));
        }
        *next += 1;
    }
    Ok(())
}

//! The committed order, executed by the model, gives just the accounts that the node shows in the end; and every receipt
//! that a client got is that of the chain.

use crate::sim::evidence::Evidence;
use crate::sim::history::Outcome;
use crate::sim::model::{Call, Reply};
use shroud_ledger::GCC;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let Some(chain) = &evidence.chain else { return Ok(()) };
    if let Some(odd) = chain.odd.first() {
        return Err(odd.clone());
    }
    let model = evidence.model.with_chain(&chain.committed);
    for operation in &evidence.history {
        let (Call::Submit(submit), Outcome::Done(reply)) = (&operation.call, &operation.outcome) else {
            continue;
        };
        let in_chain = model.included.get(&submit.hash).map(|receipt| Reply::Included(*receipt));
        // One that is missing is durability's matter.
        if in_chain.as_ref().is_some_and(|in_chain| in_chain != reply) {
            return Err(format!(
                "client {} was told {reply:?} of {}, the chain says {in_chain:?}",
                operation.client, submit.hash
            ));
        }
    }
    let (mut state, mut height, mut fees) = (model.beginning(), 0, 0_u128);
    for one in &chain.committed {
        if one.receipt.height < height {
            return Err(format!(
                "transaction {} stands in block {} after block {height}",
                one.hash, one.receipt.height
            ));
        }
        height = one.receipt.height;
        let Some(submit) = evidence.requested.get(&one.hash) else { continue };
        let after = model.include(&state, submit, one.receipt);
        state = after.ok_or_else(|| {
            format!(
                "transaction {} (nonce {}) cannot follow what is before it in block {height}",
                one.hash, one.nonce
            )
        })?;
        fees = fees.saturating_add(model.gas_price.saturating_mul(one.receipt.gas_used.into()));
    }
    if fees > 0 {
        let earned = state.accounts.entry(model.fee_account).or_default();
        *earned.balances.entry(GCC).or_default() += fees;
    }
    for (address, shown) in &chain.accounts {
        let expected = state.accounts.get(address).cloned().unwrap_or_default();
        if *shown != expected {
            return Err(format!(
                "account {address} shows {shown:?}; by the committed order it has {expected:?}"
            ));
        }
    }
    for (contract, shown) in &chain.counters {
        let expected = state.counters.get(contract).copied().unwrap_or(0);
        if *shown != expected {
            return Err(format!("counter {contract} shows {shown}; by the committed order it is {expected}"));
        }
    }
    Ok(())
}

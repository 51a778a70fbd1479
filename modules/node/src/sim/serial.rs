//! Strict serializability in a given order: the ledger says in which order it committed, and that one must explain every
//! answer, within real time.
//!
//! It is more than linearizability of each group of accounts by itself: readers of different groups see one order.
//!
//! With the order given nothing has to be searched. Each answer allows some prefixes of the order; the least one that is
//! not before what was answered earlier is always the best choice, and it must not hold a transaction that nobody had
//! sent by then. The search in [`super::linear`] is the more general question: whether *any* order explains them.

use super::evidence::Committed;
use super::model::{Call, LedgerModel, LedgerOperation, State, Submit};
use shroud_crypto::Hash;
use std::collections::BTreeMap;

/// An answer that the committed order does not explain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSerial {
    /// No state of the ledger allows the answer at or after the ones that others had been told of.
    #[error(
        "operation {place} was told what holds after none of the first {least} to {of} transactions; others had been told of {least} before it began"
    )]
    NoPrefix {
        /// Its place in the history.
        place: usize,
        /// Transactions that earlier answers told of.
        least: usize,
        /// All transactions.
        of: usize,
    },
    /// The answer tells of a transaction before anybody had sent it.
    #[error(
        "operation {place} was told what holds only after {prefix} transactions, before anybody had sent the last of them"
    )]
    Early {
        /// Its place in the history.
        place: usize,
        /// What it was told of.
        prefix: usize,
    },
}

impl NotSerial {
    /// The place of the operation in the history.
    #[must_use]
    pub const fn place(&self) -> usize {
        match self {
            Self::NoPrefix { place, .. } | Self::Early { place, .. } => *place,
        }
    }
}

/// Checks that the committed order explains a history.
///
/// # Errors
/// [`NotSerial`] for the answer that came first of those that are not explained.
pub fn check(
    model: &LedgerModel,
    committed: &[Committed],
    requested: &BTreeMap<Hash, Submit>,
    history: &[LedgerOperation],
) -> Result<(), NotSerial> {
    let states = states(model, committed, requested);
    let sent = sent(committed, history);
    let mut answered: Vec<_> =
        history.iter().enumerate().filter_map(|(place, one)| Some((one.returned?, place, one))).collect();
    answered.sort_by_key(|(returned, ..)| *returned);
    // The most that had been told when each answer came, in the order of answers.
    let mut told: Vec<(u64, usize)> = Vec::new();
    for (returned, place, operation) in answered {
        let before = told.partition_point(|(at, _)| *at < operation.invoked);
        let least = before.checked_sub(1).and_then(|last| told.get(last)).map_or(0, |(_, prefix)| *prefix);
        let fits = |state: &State| model.allows(state, &operation.call, &operation.outcome);
        let found = (least..).zip(states.iter().skip(least)).find(|(_, state)| fits(state));
        let Some((prefix, _)) = found else {
            return Err(NotSerial::NoPrefix { place, least, of: committed.len() });
        };
        if sent.get(prefix).is_none_or(|sent| *sent > returned) {
            return Err(NotSerial::Early { place, prefix });
        }
        let most = told.last().map_or(0, |(_, prefix)| *prefix).max(prefix);
        told.push((returned, most));
    }
    Ok(())
}

/// The states after 0, 1, 2, ... transactions, as far as they can follow each other.
fn states(model: &LedgerModel, committed: &[Committed], requested: &BTreeMap<Hash, Submit>) -> Vec<State> {
    let mut states = vec![model.beginning()];
    for one in committed {
        let after = states.last().zip(requested.get(&one.hash));
        let Some(after) = after.and_then(|(state, submit)| model.include(state, submit, one.receipt)) else {
            break;
        };
        states.push(after);
    }
    states
}

/// When the last of the first 0, 1, 2, ... transactions was first sent.
fn sent(committed: &[Committed], history: &[LedgerOperation]) -> Vec<u64> {
    let mut first = BTreeMap::new();
    for operation in history {
        if let Call::Submit(submit) = &operation.call {
            let at = first.entry(submit.hash).or_insert(operation.invoked);
            *at = operation.invoked.min(*at);
        }
    }
    let mut sent = vec![0];
    for one in committed {
        let before = sent.last().copied().unwrap_or(0);
        sent.push(first.get(&one.hash).copied().unwrap_or(u64::MAX).max(before));
    }
    sent
}

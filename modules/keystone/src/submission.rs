//! A transaction on its way to the writer, and who waits for it.

use std::sync::Arc;

use shroud_crypto::Address;
use shroud_ledger::transaction::VerifiedTransaction;
use shroud_ledger::{Nonce, TransactionHash};

use crate::SubmitError;
use crate::recent::Inclusion;
use crate::reply::{Slot, Wakes};
use crate::waiting::Visitor;

/// What a caller learns.
pub(crate) type Answer = Result<Inclusion, SubmitError>;

/// A promise to answer one caller. Dropped without an answer, it says that the writer has ended.
#[derive(Debug)]
pub(crate) struct ReplyTo(Option<Arc<Slot<Answer>>>);

impl ReplyTo {
    pub(crate) const fn new(slot: Arc<Slot<Answer>>) -> Self {
        Self(Some(slot))
    }

    pub(crate) fn answer(mut self, answer: Answer, wakes: &mut Wakes) {
        if let Some(slot) = self.0.take() {
            slot.fill(answer, wakes);
        }
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.fill(Err(SubmitError::Failed("the writer has ended".into())), &mut Wakes::default());
        }
    }
}

/// Everyone who waits for one transaction.
#[derive(Debug)]
pub(crate) struct Replies {
    first: ReplyTo,
    more: Vec<ReplyTo>,
}

impl Replies {
    pub(crate) fn answer(self, answer: Answer, wakes: &mut Wakes) {
        for reply in self.more {
            reply.answer(answer.clone(), wakes);
        }
        self.first.answer(answer, wakes);
    }

    /// How many wait: at least one.
    pub(crate) fn count(&self) -> usize {
        self.more.len().saturating_add(1)
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.more.push(other.first);
        self.more.extend(other.more);
    }
}

/// A transaction and everyone who waits for it.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) transaction: VerifiedTransaction,
    pub(crate) replies: Replies,
}

impl Submission {
    pub(crate) const fn new(transaction: VerifiedTransaction, reply: ReplyTo) -> Self {
        Self { transaction, replies: Replies { first: reply, more: Vec::new() } }
    }
}

impl Visitor for Submission {
    fn sender(&self) -> Address {
        self.transaction.sender()
    }

    fn nonce(&self) -> Nonce {
        self.transaction.nonce()
    }

    fn hash(&self) -> TransactionHash {
        self.transaction.hash()
    }

    fn bytes(&self) -> usize {
        self.transaction.bytes().len()
    }

    fn requests(&self) -> usize {
        self.replies.count()
    }

    fn join(&mut self, other: Self) {
        self.replies.join(other.replies);
    }
}

//! What clients did and what they were told, in the order in which it happened.
//!
//! A simulation runs on one thread, so the order of notes is the order of events: a [`Ticket`] is exact where clocks of
//! different hosts would not be.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A place in the order of all invocations and returns of a run.
pub type Ticket = u64;

/// How an operation ended, as far as its client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<Reply> {
    /// It was done, and this was the answer.
    Done(Reply),
    /// It was refused: it had no effect.
    Refused(Refusal),
    /// No answer, or one that says nothing: it may have been done, may be done later, or never.
    Unknown,
}

/// Why an operation had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The account's nonce is beyond the transaction's, and another transaction used it.
    NonceTooLow,
    /// The account cannot pay.
    InsufficientFunds,
    /// The node has no room, is stopping, or gave up waiting for an earlier nonce: says nothing about the state.
    Unavailable,
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<Call, Reply> {
    /// Who.
    pub client: u32,
    /// What was asked.
    pub call: Call,
    /// When it was asked.
    pub invoked: Ticket,
    /// When the client learned how it ended; `None` while it does not know.
    pub returned: Option<Ticket>,
    /// How it ended.
    pub outcome: Outcome<Reply>,
    /// The client's clocks at both moments, since the run's beginning: for people.
    pub times: (Duration, Duration),
}

/// The operations of a run; clones write into the same one.
#[derive(Debug)]
pub struct History<Call, Reply> {
    notes: Arc<Mutex<Notes<Call, Reply>>>,
}

#[derive(Debug)]
struct Notes<Call, Reply> {
    next: Ticket,
    operations: Vec<Operation<Call, Reply>>,
}

/// An operation that has not returned.
#[derive(Debug)]
#[must_use = "an operation that never returns counts as unknown"]
pub struct Open(usize);

impl<Call, Reply> Clone for History<Call, Reply> {
    fn clone(&self) -> Self {
        Self { notes: Arc::clone(&self.notes) }
    }
}

impl<Call, Reply> Default for History<Call, Reply> {
    fn default() -> Self {
        Self { notes: Arc::new(Mutex::new(Notes { next: 0, operations: Vec::new() })) }
    }
}

impl<Call, Reply> History<Call, Reply> {
    /// An empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn notes(&self) -> MutexGuard<'_, Notes<Call, Reply>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a client asks for something.
    pub fn invoke(&self, client: u32, call: Call, time: Duration) -> Open {
        let mut notes = self.notes();
        let invoked = notes.next;
        notes.next += 1;
        notes.operations.push(Operation {
            client,
            call,
            invoked,
            returned: None,
            outcome: Outcome::Unknown,
            times: (time, time),
        });
        Open(notes.operations.len() - 1)
    }

    /// Notes what the client was told. An unknown outcome stays open for ever.
    pub fn respond(&self, open: Open, outcome: Outcome<Reply>, time: Duration) {
        let mut notes = self.notes();
        let ticket = notes.next;
        notes.next += 1;
        if let Some(operation) = notes.operations.get_mut(open.0) {
            operation.returned = (!matches!(outcome, Outcome::Unknown)).then_some(ticket);
            operation.outcome = outcome;
            operation.times.1 = time;
        }
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.notes().operations.len()
    }

    /// Whether nobody asked for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<Call: Clone, Reply: Clone> History<Call, Reply> {
    /// The operations in the order of their invocations.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation<Call, Reply>> {
        self.notes().operations.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_tell_what_overlapped() {
        let history = History::<&str, u32>::new();
        let first = history.invoke(0, "a", Duration::ZERO);
        let second = history.invoke(1, "b", Duration::ZERO);
        history.respond(first, Outcome::Done(1), Duration::from_secs(1));
        let third = history.invoke(0, "c", Duration::from_secs(1));
        history.respond(second, Outcome::Unknown, Duration::from_secs(2));
        history.respond(third, Outcome::Refused(Refusal::Unavailable), Duration::from_secs(3));
        let operations = history.operations();
        let span = |index: usize| (operations[index].invoked, operations[index].returned);
        assert_eq!([span(0), span(1), span(2)], [(0, Some(2)), (1, None), (3, Some(5))]);
        assert_eq!(operations[2].times, (Duration::from_secs(1), Duration::from_secs(3)));
    }
}

//! A linearizability checker: is there an order of the operations, within their real-time bounds, that the specification
//! allows with just these answers?
//!
//! The search is Wing and Gong's ("Testing and verifying concurrent objects", 1993) with Lowe's memory of configurations
//! ("Testing for linearizability", 2017): a set of operations done and a state are visited once. Operations on disjoint
//! keys are checked apart ([`check_components`]), which is sound because linearizability is local (Herlihy and Wing).
//!
//! An operation whose outcome is unknown may take effect at any time after its invocation, or never.

use super::history::{Operation, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// Steps after which a search gives up: a second's work. Ends as [`NotLinear::Undecided`], never as a pass.
pub const MAX_STEPS: u64 = 4_000_000;

/// The sequential behaviour that a history is held against.
pub trait Specification {
    /// What is asked.
    type Call;
    /// What is answered.
    type Reply;
    /// What operations read and change.
    type State: Clone + Ord;
    /// What operations of different components never share.
    type Key: Copy + Ord;

    /// Whether an operation that changes nothing in one state changes nothing in any later one either: then the search does
    /// it as soon as it fits. False for a register, where writing what is there already matters after another write.
    const IDLE_FOR_EVER: bool = false;

    /// The state before the first operation of a component that touches these keys.
    fn start(&self, keys: &BTreeSet<Self::Key>) -> Self::State;

    /// The keys that a call touches.
    fn keys(&self, call: &Self::Call) -> Vec<Self::Key>;

    /// The state after `call` took effect and was answered so; `None` when this answer is impossible here. For
    /// [`Outcome::Unknown`], the state after it took effect.
    fn step(
        &self,
        state: &Self::State,
        call: &Self::Call,
        outcome: &Outcome<Self::Reply>,
    ) -> Option<Self::State>;
}

/// A history without a legal order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotLinear {
    /// No order explains the answers.
    #[error(
        "no order of the operations explains the answers: at best {explained} of {of} fit, then none of {stuck:?} (by place)"
    )]
    NoOrder {
        /// The most operations with a known outcome that an order explained.
        explained: usize,
        /// Of so many.
        of: usize,
        /// The places, in the history given, of the operations that could have come next and did not fit.
        stuck: Vec<usize>,
    },
    /// The search was too long.
    #[error("undecided after {0} steps: make the workload smaller")]
    Undecided(u64),
}

type Operations<S> = [Operation<<S as Specification>::Call, <S as Specification>::Reply>];

/// Checks a history, each group of operations that share keys by itself.
///
/// # Errors
/// [`NotLinear`] for the first group that has no order; places are those in `history`.
pub fn check_components<S: Specification>(
    specification: &S,
    history: &Operations<S>,
) -> Result<(), NotLinear> {
    for (keys, places) in components(specification, history) {
        let operations: Vec<_> = places.iter().filter_map(|place| history.get(*place)).collect();
        check(specification, specification.start(&keys), &operations).map_err(|error| match error {
            NotLinear::NoOrder { explained, of, stuck } => {
                let stuck = stuck.iter().filter_map(|place| places.get(*place).copied()).collect();
                NotLinear::NoOrder { explained, of, stuck }
            }
            other => other,
        })?;
    }
    Ok(())
}

/// The operations by what they share: keys, and places in the history in order.
fn components<S: Specification>(
    specification: &S,
    history: &Operations<S>,
) -> Vec<(BTreeSet<S::Key>, Vec<usize>)> {
    let mut groups: Vec<(BTreeSet<S::Key>, Vec<usize>)> = Vec::new();
    for (place, operation) in history.iter().enumerate() {
        let mut keys: BTreeSet<_> = specification.keys(&operation.call).into_iter().collect();
        let mut places = vec![place];
        groups.retain_mut(|(other, theirs)| {
            let apart = keys.is_disjoint(other);
            if !apart {
                keys.append(other);
                places.append(theirs);
            }
            apart
        });
        places.sort_unstable();
        groups.push((keys, places));
    }
    groups
}

/// An invocation or a return in the list that the search takes operations out of.
struct Entry {
    operation: usize,
    returns: bool,
    next: usize,
    previous: usize,
}

/// All events in order, as a list with its head at 0.
struct Events {
    entries: Vec<Entry>,
    /// Where each operation's invocation and return stand.
    places: Vec<(usize, Option<usize>)>,
}

impl Events {
    fn new<C, R>(operations: &[&Operation<C, R>]) -> Self {
        let mut order = BTreeMap::new();
        for (index, operation) in operations.iter().enumerate() {
            order.insert((operation.invoked, false), index);
            if let Some(returned) = operation.returned {
                order.insert((returned, true), index);
            }
        }
        let mut entries = vec![Entry { operation: 0, returns: false, next: 1, previous: 0 }];
        let mut places = vec![(0, None); operations.len()];
        for ((_, returns), operation) in order {
            let place = entries.len();
            if let Some(places) = places.get_mut(operation) {
                if returns { places.1 = Some(place) } else { places.0 = place }
            }
            entries.push(Entry { operation, returns, next: place + 1, previous: place - 1 });
        }
        Self { entries, places }
    }

    fn next(&self, place: usize) -> usize {
        self.entries.get(place).map_or(usize::MAX, |entry| entry.next)
    }

    fn get(&self, place: usize) -> Option<&Entry> {
        self.entries.get(place)
    }

    fn unlink(&mut self, place: usize) {
        let Some((next, previous)) = self.entries.get(place).map(|entry| (entry.next, entry.previous)) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(previous) {
            entry.next = next;
        }
        if let Some(entry) = self.entries.get_mut(next) {
            entry.previous = previous;
        }
    }

    fn relink(&mut self, place: usize) {
        let Some((next, previous)) = self.entries.get(place).map(|entry| (entry.next, entry.previous)) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(previous) {
            entry.next = place;
        }
        if let Some(entry) = self.entries.get_mut(next) {
            entry.previous = place;
        }
    }

    fn lift(&mut self, operation: usize) {
        let Some((call, returns)) = self.places.get(operation).copied() else { return };
        self.unlink(call);
        if let Some(returns) = returns {
            self.unlink(returns);
        }
    }

    fn unlift(&mut self, operation: usize) {
        let Some((call, returns)) = self.places.get(operation).copied() else { return };
        if let Some(returns) = returns {
            self.relink(returns);
        }
        self.relink(call);
    }
}

/// A set of operations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Set(Vec<u64>);

impl Set {
    fn flip(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word ^= 1 << (index % 64);
        }
    }
}

/// Checks operations that may all share state.
///
/// # Errors
/// [`NotLinear`]; places are those in `operations`.
pub fn check<S: Specification>(
    specification: &S,
    start: S::State,
    operations: &[&Operation<S::Call, S::Reply>],
) -> Result<(), NotLinear> {
    let of = operations.iter().filter(|operation| operation.returned.is_some()).count();
    let mut events = Events::new(operations);
    let mut done = Set(vec![0; operations.len().div_ceil(64)]);
    let mut seen: BTreeSet<(Set, S::State)> = BTreeSet::new();
    let mut trail: Vec<(usize, bool, S::State)> = Vec::new();
    let (mut state, mut explained, mut best) = (start, 0, (0, Vec::new()));
    let mut place = events.next(0);
    for _ in 0..MAX_STEPS {
        if explained == of {
            return Ok(());
        }
        // The end of the list comes only after every return, and each stops the search below.
        let Some(entry) = events.get(place) else { return Ok(()) };
        let index = entry.operation;
        let Some(operation) = operations.get(index) else { return Ok(()) };
        if !entry.returns {
            let known = operation.returned.is_some();
            // An unknown operation that changes nothing here need not be placed here.
            let after = specification
                .step(&state, &operation.call, &operation.outcome)
                .filter(|after| known || *after != state);
            if let Some(after) = after {
                done.flip(index);
                // Later there would be nothing to gain.
                let free = S::IDLE_FOR_EVER && after == state;
                if free || seen.insert((done.clone(), after.clone())) {
                    trail.push((index, free, std::mem::replace(&mut state, after)));
                    events.lift(index);
                    explained += usize::from(known);
                    place = events.next(0);
                    continue;
                }
                done.flip(index);
            }
            place = events.next(place);
            continue;
        }
        if explained >= best.0 {
            best = (explained, candidates(&events, place));
        }
        let index = loop {
            let Some((index, free, before)) = trail.pop() else {
                let (explained, stuck) = best;
                return Err(NotLinear::NoOrder { explained, of, stuck });
            };
            state = before;
            done.flip(index);
            events.unlift(index);
            let known = operations.get(index).is_some_and(|operation| operation.returned.is_some());
            explained -= usize::from(known);
            if !free {
                break index;
            }
        };
        place = events.places.get(index).map_or(usize::MAX, |(call, _)| events.next(*call));
    }
    Err(NotLinear::Undecided(MAX_STEPS))
}

/// What was invoked before the return at `until` and is not done.
fn candidates(events: &Events, until: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut place = events.next(0);
    while let Some(entry) = events.get(place).filter(|_| place != until) {
        found.push(entry.operation);
        place = entry.next;
    }
    found
}

#[cfg(test)]
mod tests;

use super::*;
use crate::sim::history::Refusal;
use proptest::prelude::*;
use std::time::Duration;

/// Registers by number, with write, read and a move between two.
struct Registers;

#[derive(Clone, Debug, PartialEq)]
enum Call {
    Write(u8, u32),
    Read(u8),
    Move(u8, u8),
}

type Note = Operation<Call, u32>;

impl Specification for Registers {
    type Call = Call;
    type Reply = u32;
    type State = BTreeMap<u8, u32>;
    type Key = u8;

    fn start(&self, keys: &BTreeSet<u8>) -> Self::State {
        keys.iter().map(|key| (*key, 0)).collect()
    }

    fn keys(&self, call: &Call) -> Vec<u8> {
        match call {
            Call::Write(key, _) | Call::Read(key) => vec![*key],
            Call::Move(from, to) => vec![*from, *to],
        }
    }

    fn step(&self, state: &Self::State, call: &Call, outcome: &Outcome<u32>) -> Option<Self::State> {
        let mut after = state.clone();
        let answer = match call {
            _ if matches!(outcome, Outcome::Refused(_)) => return Some(after),
            Call::Write(key, value) => {
                after.insert(*key, *value);
                *value
            }
            Call::Read(key) => *state.get(key)?,
            Call::Move(from, to) => {
                let value = after.insert(*from, 0)?;
                after.insert(*to, value);
                value
            }
        };
        match outcome {
            Outcome::Done(told) if *told != answer => None,
            _ => Some(after),
        }
    }
}

fn note(call: Call, invoked: u64, returned: Option<u64>, told: u32) -> Note {
    let outcome = if returned.is_some() { Outcome::Done(told) } else { Outcome::Unknown };
    Operation { client: 0, call, invoked, returned, outcome, times: (Duration::ZERO, Duration::ZERO) }
}

fn holds(history: &[Note]) -> bool {
    check_components(&Registers, history).is_ok()
}

use Call::{Move, Read, Write};

#[test]
fn reads_between_writes() {
    let good = [note(Write(0, 1), 0, Some(3), 1), note(Read(0), 1, Some(2), 0), note(Read(0), 4, Some(5), 1)];
    assert!(holds(&good));
    let mut stale = good.clone();
    stale[2].outcome = Outcome::Done(0);
    let error = check_components(&Registers, &stale).unwrap_err();
    assert_eq!(error, NotLinear::NoOrder { explained: 2, of: 3, stuck: vec![2] });
}

#[test]
fn new_and_old_in_turn_is_refused() {
    // Two readers, one after the other, during one write: the second may not see what was before the first.
    let history = |second| {
        [note(Write(0, 1), 0, Some(9), 1), note(Read(0), 1, Some(2), 1), note(Read(0), 3, Some(4), second)]
    };
    assert!(holds(&history(1)));
    assert!(!holds(&history(0)));
}

#[test]
fn an_unknown_operation_may_come_late_or_never_but_once() {
    let unknown = note(Write(0, 7), 0, None, 0);
    let read = |at: u64, value| note(Read(0), at, Some(at + 1), value);
    assert!(holds(&[unknown.clone(), read(1, 0), read(3, 0)]));
    assert!(holds(&[unknown.clone(), read(1, 0), read(3, 7), read(5, 7)]));
    assert!(!holds(&[unknown.clone(), read(1, 7), read(3, 0)]));
    // Never before it was asked for.
    assert!(!holds(&[read(0, 7), Operation { invoked: 5, ..unknown }]));
}

#[test]
fn refusals_change_nothing() {
    let mut refused = note(Write(0, 7), 0, Some(1), 0);
    refused.outcome = Outcome::Refused(Refusal::Unavailable);
    assert!(holds(&[refused.clone(), note(Read(0), 2, Some(3), 0)]));
    assert!(!holds(&[refused, note(Read(0), 2, Some(3), 7)]));
}

#[test]
fn moves_join_components() {
    let history = [
        note(Write(0, 5), 0, Some(1), 5),
        note(Write(9, 1), 2, Some(3), 1),
        note(Move(0, 1), 4, Some(5), 5),
        note(Read(1), 6, Some(7), 5),
    ];
    let groups = components(&Registers, &history);
    let places: Vec<_> = groups.iter().map(|(_, places)| places.clone()).collect();
    assert_eq!(places, [vec![1], vec![0, 2, 3]]);
    assert!(holds(&history));
    let mut torn = history.to_vec();
    torn.push(note(Read(0), 8, Some(9), 5));
    assert!(!holds(&torn), "moved and still there");
}

/// Runs operations that each take effect at one moment between their events; answers are those of that moment.
fn honest(calls: Vec<(Call, u8, u8, bool)>) -> Vec<Note> {
    let mut timed: Vec<(u64, usize)> = Vec::new();
    let mut notes: Vec<Note> = Vec::new();
    for (index, (call, before, after, known)) in calls.into_iter().enumerate() {
        let moment = 1000 * (index as u64 + 3);
        let invoked = moment - 1 - u64::from(before) * 7;
        let returned = moment + 1 + u64::from(after) * 7;
        notes.push(note(call, invoked * 64 + index as u64, known.then_some(returned * 64 + index as u64), 0));
        timed.push((moment, index));
    }
    let mut state: BTreeMap<u8, u32> = (0..4).map(|key| (key, 0)).collect();
    for (_, index) in timed {
        let (value, after) = match &notes[index].call {
            Write(key, value) => (*value, vec![(*key, *value)]),
            Read(key) => (state[key], vec![]),
            Move(from, to) => (state[from], vec![(*from, 0), (*to, state[from])]),
        };
        state.extend(after);
        if notes[index].returned.is_some() {
            notes[index].outcome = Outcome::Done(value);
        }
    }
    notes
}

/// Every order, tried one by one: for small histories only.
fn brute_force(history: &[Note], done: &mut Vec<usize>, state: &BTreeMap<u8, u32>) -> bool {
    let left: Vec<_> = (0..history.len()).filter(|index| !done.contains(index)).collect();
    if left.iter().all(|index| history[*index].returned.is_none()) {
        return true;
    }
    let first_return = left.iter().filter_map(|index| history[*index].returned).min().unwrap_or(u64::MAX);
    left.iter().any(|index| {
        let operation = &history[*index];
        if operation.invoked > first_return {
            return false;
        }
        let Some(after) = Registers.step(state, &operation.call, &operation.outcome) else { return false };
        done.push(*index);
        let found = brute_force(history, done, &after);
        done.pop();
        found
    })
}

fn calls() -> impl Strategy<Value = Call> {
    let key = || 0..4u8;
    prop_oneof![
        (key(), 1..4u32).prop_map(|(key, value)| Write(key, value)),
        key().prop_map(Read),
        (key(), key()).prop_filter("two", |(from, to)| from != to).prop_map(|(from, to)| Move(from, to)),
    ]
}

proptest! {
    #[test]
    fn honest_histories_hold(calls in proptest::collection::vec((calls(), any::<u8>(), any::<u8>(), any::<bool>()), 0..60)) {
        let history = honest(calls);
        prop_assert_eq!(check_components(&Registers, &history), Ok(()));
    }

    #[test]
    fn the_search_agrees_with_trying_every_order(
        calls in proptest::collection::vec((calls(), any::<u8>(), any::<u8>(), any::<bool>()), 0..7), lie in any::<(u8, u8)>(),
    ) {
        let mut history = honest(calls);
        let place = usize::from(lie.0);
        if let Some(Operation { outcome: Outcome::Done(told), .. }) = history.get_mut(place) {
            *told = u32::from(lie.1 % 4);
        }
        let start = (0..4).map(|key| (key, 0)).collect();
        prop_assert_eq!(holds(&history), brute_force(&history, &mut Vec::new(), &start));
    }
}

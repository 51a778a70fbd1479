//! What waits, by whom it is from: whoever sends much waits behind those who send little.

use std::collections::{BTreeMap, VecDeque};

/// So many may wait: beyond, more of a sender of whom some wait already is dropped, and beyond twice as many all.
pub(super) const WAITING: usize = 1024;

/// After so many of those who send little, one of the others has its turn.
const LIGHT: u32 = 8;

/// What waits.
pub(super) struct Fair<K, T> {
    senders: BTreeMap<K, VecDeque<T>>,
    /// Those of whom nothing waited.
    light: VecDeque<K>,
    /// Those who have had their turn, and of whom more waits.
    heavy: VecDeque<K>,
    count: usize,
    /// Turns of `light` since the last one of `heavy`.
    turns: u32,
}

impl<K: Ord + Copy, T> Fair<K, T> {
    pub(super) const fn new() -> Self {
        Self { senders: BTreeMap::new(), light: VecDeque::new(), heavy: VecDeque::new(), count: 0, turns: 0 }
    }

    /// Has `item` wait. Whether there is room for it.
    pub(super) fn push(&mut self, from: K, item: T) -> bool {
        let known = self.senders.get_mut(&from);
        let times = if known.is_some() { 1 } else { 2 };
        if self.count >= times * WAITING {
            return false;
        }
        self.count = self.count.saturating_add(1);
        match known {
            Some(waiting) => waiting.push_back(item),
            None => {
                self.senders.insert(from, VecDeque::from([item]));
                self.light.push_back(from);
            }
        }
        true
    }

    /// Whose turn it is: the oldest of that sender.
    pub(super) fn pop(&mut self) -> Option<T> {
        let heavy = self.turns >= LIGHT && !self.heavy.is_empty();
        let from = if heavy { None } else { self.light.pop_front() };
        self.turns = if from.is_some() { self.turns.saturating_add(1) } else { 0 };
        let from = from.or_else(|| self.heavy.pop_front())?;
        let waiting = self.senders.get_mut(&from)?;
        let item = waiting.pop_front()?;
        self.count = self.count.saturating_sub(1);
        if waiting.is_empty() {
            self.senders.remove(&from);
        } else {
            self.heavy.push_back(from);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whoever_sends_much_waits_behind_those_who_send_little() {
        let mut fair = Fair::new();
        (0..100).for_each(|n| assert!(fair.push('a', ('a', n))));
        assert!(fair.push('b', ('b', 0)) && fair.push('c', ('c', 0)) && fair.push('c', ('c', 1)));
        let order: Vec<_> = std::iter::from_fn(|| fair.pop()).take(6).collect();
        assert_eq!(order, [('a', 0), ('b', 0), ('c', 0), ('a', 1), ('c', 1), ('a', 2)]);
        // One who comes then is next.
        assert!(fair.push('d', ('d', 0)));
        assert_eq!(fair.pop(), Some(('d', 0)));
    }

    #[test]
    fn many_who_send_little_do_not_stop_one_who_sends_much() {
        let mut fair = Fair::new();
        (0..3).for_each(|n| assert!(fair.push(0, n)));
        assert_eq!(fair.pop(), Some(0));
        (1..100).for_each(|n| assert!(fair.push(n, 1000 + n)));
        let order: Vec<_> = std::iter::from_fn(|| fair.pop()).take(10).collect();
        assert_eq!(order.iter().position(|item| *item == 1), Some(7), "{order:?}");
    }

    #[test]
    fn at_the_limits_and_one_past_them() {
        let mut fair = Fair::new();
        (0..WAITING).for_each(|n| assert!(fair.push(0, n)));
        assert!(!fair.push(0, 0), "more of the same");
        (1..=WAITING).for_each(|n| assert!(fair.push(n, n)));
        assert!(!fair.push(WAITING + 1, 0), "anybody");
        assert_eq!(std::iter::from_fn(|| fair.pop()).count(), 2 * WAITING);
        assert_eq!(fair.count, 0);
        assert!(fair.push(0, 0));
    }

    proptest! {
        /// Nothing is lost or made up, and each sender's come in their order.
        #[test]
        fn all_come_once_and_in_order(steps: Vec<(bool, u8)>) {
            let (mut fair, mut expected) = (Fair::new(), BTreeMap::<u8, VecDeque<usize>>::new());
            let mut count = 0_usize;
            for (n, (push, from)) in steps.into_iter().enumerate() {
                if push {
                    prop_assert!(fair.push(from, (from, n)));
                    expected.entry(from).or_default().push_back(n);
                    count += 1;
                } else if let Some((from, n)) = fair.pop() {
                    prop_assert_eq!(expected.get_mut(&from).and_then(VecDeque::pop_front), Some(n));
                    count -= 1;
                } else {
                    prop_assert_eq!(count, 0);
                }
                prop_assert_eq!(fair.count, count);
            }
        }
    }
}

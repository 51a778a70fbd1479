//! Sets of pages as ranges, for files that are mostly holes or mostly preallocated.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of numbers: disjoint ranges that do not touch, by start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    ends: BTreeMap<u64, u64>,
    count: u64,
}

impl Ranges {
    /// How many numbers are in the set.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// How many numbers of `range` are not in the set.
    pub(super) fn missing(&self, range: &Range<u64>) -> u64 {
        let wanted = range.end.saturating_sub(range.start);
        wanted.saturating_sub(self.overlapping(range).map(|(start, end)| end - start).sum())
    }

    /// Adds all numbers of `range`.
    pub(super) fn insert(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.count += self.missing(range);
        let (mut start, mut end) = (range.start, range.end);
        // Whatever overlaps or touches becomes one range; the last ones first.
        while let Some((before, until)) =
            self.ends.range(..=end).next_back().map(|(start, end)| (*start, *end))
        {
            if until < start {
                break;
            }
            self.ends.remove(&before);
            (start, end) = (start.min(before), end.max(until));
        }
        self.ends.insert(start, end);
    }

    /// Removes all numbers from `limit` on.
    pub(super) fn truncate(&mut self, limit: u64) {
        for (start, end) in self.ends.split_off(&limit) {
            self.count -= end - start;
        }
        if let Some(mut last) = self.ends.last_entry()
            && *last.get() > limit
        {
            self.count -= *last.get() - limit;
            last.insert(limit);
        }
    }

    /// The parts of `range` that are in the set.
    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, u64)> + use<'_> {
        let (from, to) = (range.start, range.end);
        let first = self.ends.range(..from).next_back();
        first
            .into_iter()
            .chain(self.ends.range(from..to.max(from)))
            .map(move |(start, end)| ((*start).max(from), (*end).min(to)))
            .filter(|(start, end)| start < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_of_numbers(steps in proptest::collection::vec((0..60u64, 0..12u64, 0..4u8), 0..40)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (start, length, kind) in steps {
                let range = start..start + length;
                prop_assert_eq!(ranges.missing(&range), range.clone().filter(|number| !model.contains(number)).count() as u64);
                if kind == 0 {
                    ranges.truncate(start);
                    model.retain(|number| *number < start);
                } else {
                    ranges.insert(&range);
                    model.extend(range);
                }
                prop_assert_eq!(ranges.count(), model.len() as u64);
                let listed: BTreeSet<u64> = ranges.ends.iter().flat_map(|(start, end)| *start..*end).collect();
                prop_assert_eq!(&listed, &model);
            }
        }
    }
}

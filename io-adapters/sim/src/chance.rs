//! Chance: streams of numbers that are a pure function of a seed.
//!
//! A [`Chance`] is split by label, so that a draw that is added in one place shifts nothing in another.

/// A stream of numbers from a seed: xoshiro256++, seeded by splitmix64. Not for keys.
///
/// Only integers, so that every machine draws the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chance {
    state: [u64; 4],
}

/// A probability in parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(u32);

impl Rate {
    /// It never happens.
    pub const NEVER: Self = Self(0);
    /// It always happens.
    pub const ALWAYS: Self = Self(1_000_000);

    /// So many in a million; a million at most.
    #[must_use]
    pub const fn per_million(parts: u32) -> Self {
        if parts > Self::ALWAYS.0 { Self::ALWAYS } else { Self(parts) }
    }

    /// So many in a hundred; a hundred at most.
    #[must_use]
    pub const fn percent(parts: u32) -> Self {
        Self::per_million(parts.saturating_mul(10_000))
    }

    /// In parts per million.
    #[must_use]
    pub const fn parts_per_million(self) -> u32 {
        self.0
    }
}

impl Chance {
    /// The stream of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        let mut seed = seed;
        let mut state = [0; 4];
        let [first, second, third, fourth] = &mut state;
        *first = split_mix(&mut seed);
        *second = split_mix(&mut seed);
        *third = split_mix(&mut seed);
        *fourth = split_mix(&mut seed);
        Self { state }
    }

    /// A stream of its own for `label`: it depends on this stream's present state and the label, and leaves this
    /// stream as it is.
    #[must_use]
    pub fn split(&self, label: &str) -> Self {
        // FNV-1a over the state and the label; `new` mixes it well.
        let state = self.state.iter().flat_map(|word| word.to_le_bytes());
        let hash = state.chain(label.bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self::new(hash)
    }

    /// A stream of its own for `label` and a number, such as a host's or a connection's.
    #[must_use]
    pub fn split_at(&self, label: &str, number: u64) -> Self {
        let mut chance = self.split(label);
        let [first, ..] = &mut chance.state;
        *first ^= number;
        Self::new(chance.next_u64())
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        let [first, second, third, fourth] = &mut self.state;
        let result = first.wrapping_add(*fourth).rotate_left(23).wrapping_add(*first);
        let shifted = *second << 17;
        *third ^= *first;
        *fourth ^= *second;
        *second ^= *third;
        *first ^= *fourth;
        *third ^= shifted;
        *fourth = fourth.rotate_left(45);
        result
    }

    /// A number below `limit`, each as likely as another; 0 when `limit` is 0 or 1.
    pub const fn below(&mut self, limit: u64) -> u64 {
        // The upper half of the product: its bias, limit / 2^64, can be seen by nobody.
        ((self.next_u64() as u128 * limit as u128) >> 64) as u64
    }

    /// A place in a list of `count` entries; 0 when there are none.
    pub const fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// A number from `least` to `most`, both included; `least` when `most` is below it.
    pub const fn between(&mut self, least: u64, most: u64) -> u64 {
        match most.saturating_sub(least).checked_add(1) {
            Some(count) => least + self.below(count),
            None => self.next_u64(),
        }
    }

    /// Whether something that happens at `rate` happens now. Draws in any case.
    pub const fn happens(&mut self, rate: Rate) -> bool {
        self.below(1_000_000) < rate.0 as u64
    }

    /// A coin.
    pub const fn coin(&mut self) -> bool {
        self.next_u64() >> 63 == 1
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.iter_mut().zip(self.next_u64().to_le_bytes()).for_each(|(out, byte)| *out = byte);
        }
    }

    /// Shuffles a list.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.index(last + 1));
        }
    }
}

const fn split_mix(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream_on_every_machine() {
        let mut chance = Chance::new(0);
        // The reference implementation's first numbers, seeded by splitmix64 from 0.
        assert_eq!(
            [chance.next_u64(), chance.next_u64()],
            [5_987_356_902_031_041_503, 7_051_070_477_665_621_255]
        );
        assert_ne!(Chance::new(1).next_u64(), Chance::new(2).next_u64());
    }

    #[test]
    fn splits_differ_and_leave_the_stream_as_it_is() {
        let chance = Chance::new(7);
        let before = chance.clone();
        let mut firsts: Vec<u64> =
            ["disk", "network", ""].iter().map(|label| chance.split(label).next_u64()).collect();
        firsts.extend((0..100).map(|number| chance.split_at("disk", number).next_u64()));
        assert_eq!(chance, before);
        assert_eq!(chance.split("disk"), chance.split("disk"));
        let count = firsts.len();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), count);
    }

    #[test]
    fn limits_are_kept_and_reached() {
        let mut chance = Chance::new(3);
        assert_eq!((chance.below(0), chance.below(1), chance.between(5, 4)), (0, 0, 5));
        let mut seen = [false; 6];
        for _ in 0..1000 {
            seen[chance.between(0, 5) as usize] = true;
            assert!(!chance.happens(Rate::NEVER) && chance.happens(Rate::ALWAYS));
        }
        assert_eq!(seen, [true; 6]);
        let _ = chance.between(0, u64::MAX);
        let often = (0..100_000).filter(|_| chance.happens(Rate::percent(10))).count();
        assert!((9_000..11_000).contains(&often), "{often}");
    }

    #[test]
    fn fill_and_shuffle() {
        let mut bytes = [0; 13];
        Chance::new(9).fill(&mut bytes);
        assert_ne!(bytes, [0; 13]);
        let mut list: Vec<u32> = (0..50).collect();
        Chance::new(9).shuffle(&mut list);
        assert_ne!(list, (0..50).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..50).collect::<Vec<_>>());
    }
}

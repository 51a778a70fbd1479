//! Paired comparison: two arms of the same round are compared with each other, never with another round's.

use super::{Interval, bootstrap_median};
use serde::{Deserialize, Serialize};

/// How much more one arm took than the other, as a factor: 1.10 is 10% more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Median of the paired ratios with its interval.
    pub interval: Interval,
}

/// The median and interval of `arm / base` over pairs, computed on logarithms so that twice and half weigh the same.
/// Pairs with a value that is not positive are left out; `None` when none is left.
#[must_use]
pub fn paired_ratio(pairs: &[(f64, f64)], seed: u64) -> Option<Ratio> {
    let logs: Vec<f64> = pairs
        .iter()
        .filter(|(arm, base)| *arm > 0.0 && *base > 0.0)
        .map(|(arm, base)| (arm / base).ln())
        .collect();
    let logs = bootstrap_median(&logs, seed)?;
    let interval = Interval {
        low: logs.low.exp(),
        median: logs.median.exp(),
        high: logs.high.exp(),
        samples: logs.samples,
    };
    Some(Ratio { interval })
}

/// What the same thing differs by from itself: no difference inside it counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NoiseFloor {
    /// The largest factor (at least 1) seen between two runs of the same backend in one round.
    pub factor: f64,
    /// How many A/A pairs were seen.
    pub pairs: usize,
}

impl NoiseFloor {
    /// The floor from A/A pairs; `None` when there are none.
    #[must_use]
    pub fn from_pairs(pairs: &[(f64, f64)]) -> Option<Self> {
        let factors = pairs.iter().filter(|(a, b)| *a > 0.0 && *b > 0.0).map(|(a, b)| (a / b).max(b / a));
        let factors: Vec<f64> = factors.collect();
        let factor = factors.iter().copied().reduce(f64::max)?;
        Some(Self { factor, pairs: factors.len() })
    }

    /// Judges a ratio of costs (less is better): it must leave both its own interval's doubt and the floor behind.
    #[must_use]
    pub fn judge(&self, ratio: &Ratio) -> Verdict {
        let interval = &ratio.interval;
        if interval.high < 1.0 && interval.median * self.factor < 1.0 {
            Verdict::Less
        } else if interval.low > 1.0 && interval.median > self.factor {
            Verdict::More
        } else {
            Verdict::Same
        }
    }
}

/// What a paired comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Less than the base, beyond noise.
    Less,
    /// No difference that this machine can show.
    Same,
    /// More than the base, beyond noise.
    More,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_and_half_cancel() {
        let ratio = paired_ratio(&[(2.0, 1.0), (1.0, 2.0)], 1).unwrap();
        assert!((ratio.interval.median - 1.0).abs() < 1e-12);
        assert_eq!(paired_ratio(&[(0.0, 1.0)], 1), None);
    }

    #[test]
    fn nothing_within_the_floor_counts() {
        let floor = NoiseFloor::from_pairs(&[(1.0, 1.05), (1.08, 1.0)]).unwrap();
        assert!((floor.factor - 1.08).abs() < 1e-12);
        let judge = |arm: f64| floor.judge(&paired_ratio(&[(arm, 1.0); 5], 1).unwrap());
        assert_eq!(judge(1.07), Verdict::Same);
        assert_eq!(judge(0.94), Verdict::Same);
        assert_eq!(judge(1.2), Verdict::More);
        assert_eq!(judge(0.8), Verdict::Less);
    }

    #[test]
    fn a_wide_interval_decides_nothing() {
        let floor = NoiseFloor { factor: 1.01, pairs: 3 };
        let ratio = paired_ratio(&[(0.5, 1.0), (2.0, 1.0), (1.3, 1.0)], 1).unwrap();
        assert_eq!(floor.judge(&ratio), Verdict::Same);
    }
}

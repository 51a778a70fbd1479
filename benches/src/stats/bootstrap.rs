//! Percentile bootstrap of the median.

use super::median_in_place;
use crate::rng::Rng;
use serde::{Deserialize, Serialize};

/// Resamples of each interval: the ends move by well under the interval's own width beyond this many.
const RESAMPLES: usize = 2_000;

/// A median and the interval that holds it with 95% confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end of the interval.
    pub low: f64,
    /// The samples' median.
    pub median: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// How many samples there were. With fewer than six the interval is narrower than it claims: read it as the range seen.
    pub samples: usize,
}

/// The median with its 95% percentile-bootstrap interval; `None` for no samples. The seed makes it repeatable.
#[must_use]
pub fn bootstrap_median(samples: &[f64], seed: u64) -> Option<Interval> {
    let median = super::median(samples)?;
    let mut rng = Rng::new(seed).fork("bootstrap");
    let mut draw = vec![0.0; samples.len()];
    let mut medians = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        draw.fill_with(|| samples[rng.below(samples.len())]);
        medians.extend(median_in_place(&mut draw));
    }
    medians.sort_unstable_by(f64::total_cmp);
    let at = |fraction: f64| medians[((medians.len() - 1) as f64 * fraction).round() as usize];
    Some(Interval { low: at(0.025), median, high: at(0.975), samples: samples.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_sample_has_no_width() {
        let interval = bootstrap_median(&[4.0], 1).unwrap();
        assert_eq!((interval.low, interval.median, interval.high), (4.0, 4.0, 4.0));
        assert_eq!(bootstrap_median(&[], 1), None);
    }

    #[test]
    fn it_is_repeatable() {
        let samples: Vec<f64> = (0..20).map(f64::from).collect();
        assert_eq!(bootstrap_median(&samples, 5), bootstrap_median(&samples, 5));
    }

    /// Of many sets drawn around a known median, about 95% of the intervals hold it.
    #[test]
    fn coverage_is_about_what_it_claims() {
        let mut rng = Rng::new(9);
        let hits = (0..300)
            .filter(|&trial| {
                let samples: Vec<f64> = (0..25).map(|_| rng.unit()).collect();
                let interval = bootstrap_median(&samples, trial).unwrap();
                (interval.low..=interval.high).contains(&0.5)
            })
            .count();
        assert!((270..=298).contains(&hits), "{hits} of 300");
    }
}

//! Medians, bootstrap intervals, paired ratios and slopes: how samples become judgements.

mod bootstrap;
mod ratio;
mod slope;

pub use bootstrap::{Interval, bootstrap_median};
pub use ratio::{NoiseFloor, Ratio, Verdict, paired_ratio};
pub use slope::{Slope, slope};

/// The middle value, or the mean of the two middle ones; `None` for no samples. Samples must not be NaN.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    median_in_place(&mut sorted)
}

pub(crate) fn median_in_place(samples: &mut [f64]) -> Option<f64> {
    samples.sort_unstable_by(f64::total_cmp);
    let middle = samples.len() / 2;
    let upper = *samples.get(middle)?;
    if samples.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *samples.get(middle - 1)?;
    Some(lower + (upper - lower) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
    }
}

//! Fewer faults with the same failure: what is left of a plan once nothing more can be left out.

use super::run::{Options, Report, run};
use super::scenario::Scenario;

/// Leaves out faults as long as some promise of the same kind stays broken (delta debugging, Zeller and Hildebrandt 2002).
/// `tell` is called after each run with the number of faults of the smallest plan so far. `None`: the seed does not fail.
pub fn shrink(
    scenario: &'static Scenario,
    seed: u64,
    mut tell: impl FnMut(usize),
) -> Option<(Vec<usize>, Report)> {
    let play = |faults: &[usize]| {
        run(scenario, &Options { seed, faults: Some(faults.to_vec()), ..Options::default() })
    };
    let whole = run(scenario, &Options { seed, ..Options::default() });
    let broken = whole.violations.first()?.oracle;
    let fails = |report: &Report| report.violations.iter().any(|violation| violation.oracle == broken);
    let faults = smallest((0..whole.planned).collect(), |faults| {
        let failed = fails(&play(faults));
        if failed {
            tell(faults.len());
        }
        failed
    });
    let report = play(&faults);
    Some((faults, report))
}

/// The smallest part of `all` (no element can be left out) for which `holds`, which it does for `all`.
fn smallest(all: Vec<usize>, mut holds: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    if holds(&[]) {
        return Vec::new();
    }
    let mut kept = all;
    let mut size = kept.len().div_ceil(2).max(1);
    loop {
        let mut start = 0;
        while start < kept.len() {
            let end = (start + size).min(kept.len());
            let without: Vec<usize> = kept
                .iter()
                .enumerate()
                .filter(|(place, _)| !(start..end).contains(place))
                .map(|(_, one)| *one)
                .collect();
            if without.len() < kept.len() && holds(&without) {
                kept = without;
            } else {
                start = end;
            }
        }
        if size == 1 {
            return kept;
        }
        size = size.div_ceil(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_left() {
        let needs =
            |wanted: &'static [usize]| move |have: &[usize]| wanted.iter().all(|one| have.contains(one));
        assert_eq!(smallest((0..12).collect(), needs(&[3, 9])), [3, 9]);
        assert!(smallest((0..5).collect(), needs(&[])).is_empty());
        assert_eq!(smallest((0..5).collect(), needs(&[0, 1, 2, 3, 4])), [0, 1, 2, 3, 4]);
        assert_eq!(smallest(vec![7], needs(&[7])), [7]);
    }
}

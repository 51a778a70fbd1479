//! Every planted fault is caught within a stated number of seeds by the expected oracle, at a seed that passes without it.

use super::*;
use shroud_planted::{FAULTS, Fault, plant};
use std::collections::BTreeSet;

/// Where a fault is looked for, within how many seeds it must be found, and by whom.
fn expectation(fault: Fault) -> (&'static str, u64, &'static str) {
    match fault {
        Fault::AcknowledgeBeforeSync => ("restarts", 20, "durability"),
        Fault::SkipTornTailCheck => ("transfers", 200, "liveness"),
        Fault::ApplyTwiceOnRetry => ("transfers", 5, "effects"),
        Fault::LoseWakeUp => ("transfers", 10, "liveness"),
        Fault::DropOnHalfClose => ("transport", 5, "liveness"),
        Fault::WrongNonceOrder => ("transfers", 10, "effects"),
        Fault::ReadUncommitted => ("restarts", 400, "linearizability"),
        Fault::ForgetDirectories => ("restarts", 100, "liveness"),
        Fault::TrustLastRecord => ("disk-full", 100, "broken"),
        Fault::RefuseUncommitted => ("transfers", 400, "linearizability"),
        Fault::LeakMemory => ("transfers", 5, "leaks"),
    }
}

/// Where each fault is found first, to choose what is expected from: prints the first seed of each scenario.
#[test]
#[ignore = "a survey, for when the simulator has changed"]
fn survey() {
    let only = std::env::var("SHROUD_PLANTED").unwrap_or_default();
    for fault in FAULTS.into_iter().filter(|fault| format!("{fault:?}").contains(&only)) {
        for scenario in SCENARIOS.iter().filter_map(|scenario| find(scenario.name)) {
            plant(Some(fault));
            let found = (1..=400).find_map(|seed| {
                let report = run(scenario, &Options { seed, ..Options::default() });
                (!report.passed()).then_some((seed, report.violations))
            });
            plant(None);
            if let Some((seed, violations)) = found {
                let oracles: BTreeSet<_> = violations.iter().map(|violation| violation.oracle).collect();
                println!("{fault:?}: {} {seed} {oracles:?}", scenario.name);
            }
        }
    }
}

#[test]
fn every_planted_fault_is_caught() {
    let mut wrong = Vec::new();
    for fault in FAULTS {
        let (name, most, expected) = expectation(fault);
        let scenario = find(name).expect("a scenario");
        plant(Some(fault));
        let mut found = None;
        for seed in 1..=most {
            let report = run(scenario, &Options { seed, ..Options::default() });
            if !report.passed() {
                found = Some((seed, report.violations));
                break;
            }
        }
        plant(None);
        let Some((seed, violations)) = found else {
            wrong.push(format!("{fault:?} was not caught by {most} seeds of {name}"));
            continue;
        };
        let oracles: BTreeSet<_> = violations.iter().map(|violation| violation.oracle).collect();
        if let Some(violation) = run(scenario, &Options { seed, ..Options::default() }).violations.first() {
            wrong.push(format!("seed {seed} of {name} fails without {fault:?}, too: {violation}"));
        }
        println!("{fault:?}: seed {seed} of {name}: {oracles:?}\n    {}", violations[0]);
        if !oracles.contains(expected) {
            wrong.push(format!("{fault:?} was caught by {oracles:?}, not by {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

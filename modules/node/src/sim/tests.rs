//! Every scenario plays, is judged good, and is the same the second time.

use super::*;

#[test]
fn every_scenario_passes_and_is_repeatable() {
    for scenario in &SCENARIOS {
        let scenario = find(scenario.name).expect("its own name");
        for seed in 1..=2 {
            let play = || run(scenario, &Options { seed, ..Options::default() });
            let report = play();
            assert!(report.passed(), "{} {seed}: {:#?}", scenario.name, report.violations);
            assert_eq!(report.hash, play().hash, "{} {seed}", scenario.name);
        }
    }
}

#[test]
fn the_corpus_passes() {
    let corpus = corpus::parse(include_str!("../../sim-corpus/seeds")).expect("a corpus");
    assert!(!corpus.is_empty());
    for (scenario, seed) in corpus {
        let report = run(scenario, &Options { seed, ..Options::default() });
        assert!(report.passed(), "{} {seed}: {:#?}", scenario.name, report.violations);
    }
}

//! What many runs came to, for people and machines.

use super::{Job, Output, Played, divergence, play, replay_command};
use crate::cli::Failure;
use crate::cli::output::{say, table};
use crate::sim::shrink::shrink;
use crate::sim::{Report, find};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often progress is shown.
const EVERY: Duration = Duration::from_millis(200);
/// Failures of which the plan is shrunk.
const SHRUNK: usize = 3;

/// Counts results as they come.
pub(super) struct Tally<'a> {
    output: &'a Output,
    of: Option<usize>,
    began: Instant,
    shown: Option<Instant>,
    by_scenario: BTreeMap<&'static str, Row>,
    failed: Vec<Played>,
    cases: Vec<Case>,
    over: bool,
}

#[derive(Default)]
struct Row {
    seeds: usize,
    failed: usize,
    operations: usize,
    faults: usize,
    events: u64,
    time: Duration,
}

/// A line of the JUnit report.
struct Case {
    scenario: &'static str,
    seed: u64,
    failure: Option<String>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(output: &'a Output, of: Option<usize>) -> Self {
        Self {
            output,
            of,
            began: Instant::now(),
            shown: None,
            by_scenario: BTreeMap::new(),
            failed: Vec::new(),
            cases: Vec::new(),
            over: false,
        }
    }

    /// Whether nothing more shall be played.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn play(&mut self, jobs: &[Job]) {
        play(jobs, self.output.threads(), |played| {
            self.take(played);
            !self.over
        });
    }

    fn take(&mut self, played: Played) {
        let report = &played.report;
        let row = self.by_scenario.entry(report.scenario).or_default();
        row.seeds += 1;
        row.failed += usize::from(!played.passed());
        row.operations += report.operations;
        row.faults += report.plan.len();
        row.events += report.events;
        row.time += report.time;
        if self.output.json {
            say(line(&played));
        }
        if self.output.junit.is_some() {
            let failure = (!played.passed()).then(|| complaints(&played).join("\n"));
            self.cases.push(Case { scenario: report.scenario, seed: report.seed, failure });
        }
        if !played.passed() {
            self.clear_progress();
            for complaint in complaints(&played) {
                eprintln!("FAILED {} {}: {complaint}", report.scenario, report.seed);
            }
            eprintln!("    {}", replay_command(report, None));
            self.over |= self.output.fail_fast;
            self.failed.push(played);
        }
        self.show_progress();
    }

    fn show_progress(&mut self) {
        if !std::io::stderr().is_terminal() || self.shown.is_some_and(|shown| shown.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let seeds: usize = self.by_scenario.values().map(|row| row.seeds).sum();
        let rate = seeds as f64 / self.began.elapsed().as_secs_f64();
        let of = self.of.map(|of| format!(" of {of}")).unwrap_or_default();
        eprint!("\r\x1b[K{seeds}{of} seeds, {} failed, {rate:.0} a second", self.failed.len());
    }

    fn clear_progress(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }

    /// Prints the summary; fails when a seed did.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.clear_progress();
        if let Some(path) = &self.output.junit {
            std::fs::write(path, junit(&self.cases)).map_err(Failure::of(path.display()))?;
        }
        if !self.output.json {
            self.summary();
        }
        for played in self.failed.iter().take(SHRUNK) {
            self.explain(played);
        }
        match self.failed.len() {
            0 => Ok(()),
            count => Err(Failure::new(format_args!("{count} seeds failed"))),
        }
    }

    fn summary(&self) {
        let elapsed = self.began.elapsed().as_secs_f64();
        let head = ["scenario", "seeds", "failed", "faults", "operations", "events", "virtual time"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let mut sum = Row::default();
        for (name, row) in &self.by_scenario {
            rows.push(cells(name, row));
            sum.seeds += row.seeds;
            sum.failed += row.failed;
            sum.faults += row.faults;
            sum.operations += row.operations;
            sum.events += row.events;
            sum.time += row.time;
        }
        rows.push(cells("all", &sum));
        say(table(&rows).trim_end());
        say(format_args!(
            "{elapsed:.1} s on {} threads: {:.0} events a second, {:.0} virtual seconds a second",
            self.output.threads(),
            sum.events as f64 / elapsed,
            sum.time.as_secs_f64() / elapsed
        ));
    }

    /// Says how a failure can be looked into, with as few faults as will do.
    fn explain(&self, played: &Played) {
        let report = &played.report;
        if played.diverged.is_some() {
            eprintln!("{} {}: {}", report.scenario, report.seed, divergence(report));
        }
        let Some(scenario) = find(report.scenario).filter(|_| !report.passed()) else { return };
        let Some((faults, smallest)) = shrink(scenario, report.seed, |_| {}) else { return };
        eprintln!("{} {} needs {} of {} faults:", report.scenario, report.seed, faults.len(), report.planned);
        for planned in &smallest.plan {
            eprintln!("  {planned}");
        }
        for violation in &smallest.violations {
            eprintln!("  {violation}");
        }
        eprintln!("    {}", replay_command(report, Some(&faults)));
    }
}

fn cells(name: &str, row: &Row) -> Vec<String> {
    vec![
        name.to_owned(),
        row.seeds.to_string(),
        row.failed.to_string(),
        row.faults.to_string(),
        row.operations.to_string(),
        row.events.to_string(),
        format!("{:.0} s", row.time.as_secs_f64()),
    ]
}

fn complaints(played: &Played) -> Vec<String> {
    let mut complaints: Vec<String> = played.report.violations.iter().map(ToString::to_string).collect();
    if let Some(second) = &played.diverged {
        complaints.push(format!("two runs differ: hashes {} and {second}", played.report.hash));
    }
    complaints
}

/// A seed's line: nothing in it differs from run to run.
fn line(played: &Played) -> String {
    let Report { scenario, seed, hash, time, events, polls, operations, plan, .. } = &played.report;
    let verdict = if played.passed() { "pass" } else { "fail" };
    json!({
        "scenario": scenario,
        "seed": seed,
        "hash": hash,
        "verdict": verdict,
        "violations": complaints(played),
        "virtual_seconds": time.as_secs_f64(),
        "events": events,
        "polls": polls,
        "operations": operations,
        "faults": plan.len(),
    })
    .to_string()
}

fn junit(cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ =
        writeln!(text, "<testsuite name=\"shroud sim\" tests=\"{}\" failures=\"{failures}\">", cases.len());
    for Case { scenario, seed, failure } in cases {
        let _ = write!(text, "  <testcase classname=\"{scenario}\" name=\"{seed}\"");
        match failure {
            None => text.push_str("/>\n"),
            Some(failure) => {
                let _ = writeln!(text, "><failure>{}</failure></testcase>", escaped(failure));
            }
        }
    }
    text.push_str("</testsuite>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_is_xml() {
        let cases = [
            Case { scenario: "transfers", seed: 1, failure: None },
            Case { scenario: "transfers", seed: 2, failure: Some("a < b & \"c\"".into()) },
        ];
        let text = junit(&cases);
        assert!(text.contains("tests=\"2\" failures=\"1\""));
        assert!(text.contains("<failure>a &lt; b &amp; &quot;c&quot;</failure>"), "{text}");
    }
}

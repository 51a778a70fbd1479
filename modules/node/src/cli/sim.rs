//! `shroud sim`: the whole node and its clients under faults, from seeds.

mod report;

use super::Failure;
use super::output::say;
use crate::sim::batch::{Job, Played, play};
use crate::sim::plan::Planned;
use crate::sim::run::{Options, Report, run};
use crate::sim::scenario::{LIGHT, SCENARIOS, Scenario, find};
use crate::sim::shrink::shrink;
use clap::{Args, Subcommand};
use report::Tally;
use shroud_sim::{Recording, first_difference};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

/// Run the whole node under faults in virtual time, from seeds
#[derive(Debug, Args)]
pub(crate) struct Sim {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run seeds; exit status 1 when one fails
    Run(Run),
    /// Run one seed and write a readable trace
    Replay(Replay),
    /// Find the fewest faults with which a seed still fails
    Shrink(Shrink),
    /// Run fresh seeds of all scenarios for a time
    Soak(Soak),
    /// What CI runs: the corpus of past seeds, fresh seeds, and seeds played twice
    Ci(Ci),
    /// Measure: three clients of one node for a virtual hour, on one core
    Speed(Speed),
    /// List the scenarios
    List,
}

#[derive(Debug, Args)]
struct Run {
    /// Seeds, as A..B (both included) or one number
    #[arg(long, default_value = "1..100")]
    seeds: Seeds,
    /// A scenario, or all
    #[arg(long, default_value = "all")]
    scenario: String,
    /// Play each seed twice and compare the hashes
    #[arg(long)]
    twice: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, Args)]
struct Output {
    /// Print one line of JSON for each seed
    #[arg(long)]
    json: bool,
    /// Threads, each with one simulation at a time; as many as there are cores unless given
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Write the results as JUnit XML
    #[arg(long)]
    junit: Option<PathBuf>,
    /// Stop at the first failure
    #[arg(long)]
    fail_fast: bool,
}

#[derive(Debug, Args)]
struct Replay {
    /// The seed
    #[arg(long)]
    seed: u64,
    /// Its scenario
    #[arg(long)]
    scenario: String,
    /// Only these faults of its plan, by number, separated by commas; `none` for none
    #[arg(long)]
    faults: Option<Faults>,
    /// Stop before this event of the world, and show the last ones
    #[arg(long)]
    until: Option<u64>,
    /// Where to write the trace
    #[arg(long)]
    trace: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Shrink {
    /// The seed
    #[arg(long)]
    seed: u64,
    /// Its scenario
    #[arg(long)]
    scenario: String,
}

#[derive(Debug, Args)]
struct Soak {
    /// For how long
    #[arg(long)]
    minutes: f64,
    /// The first seed; drawn from the time unless given
    #[arg(long)]
    base: Option<u64>,
    /// A scenario, or all
    #[arg(long, default_value = "all")]
    scenario: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Ci {
    /// The corpus: a line a seed, with its scenario, its number and why it is there
    #[arg(long)]
    corpus: Option<PathBuf>,
    /// Fresh seeds over all scenarios
    #[arg(long, default_value_t = 300)]
    fresh: u64,
    /// Of those, so many are played twice
    #[arg(long, default_value_t = 100)]
    twice: u64,
    /// The first fresh seed; drawn from the time unless given
    #[arg(long)]
    base: Option<u64>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Speed {
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A range of seeds.
#[derive(Clone, Copy, Debug)]
struct Seeds {
    first: u64,
    last: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no seed: write 7 or 1..100"));
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let seeds = Self { first: number(first)?, last: number(last.trim_start_matches('='))? };
        if seeds.first <= seeds.last { Ok(seeds) } else { Err(format!("{text:?} holds no seed")) }
    }
}

/// Some of a plan's faults.
#[derive(Clone, Debug)]
struct Faults(Vec<usize>);

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no fault's number"));
        text.split(',').map(number).collect::<Result<_, _>>().map(Self)
    }
}

impl Sim {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Run(command) => command.run(),
            Command::Replay(command) => command.run(),
            Command::Shrink(command) => command.run(),
            Command::Soak(command) => command.run(),
            Command::Ci(command) => command.run(),
            Command::Speed(command) => {
                command.run();
                Ok(())
            }
            Command::List => {
                let row = |scenario: &Scenario| vec![scenario.name.to_owned(), scenario.about.to_owned()];
                say(super::output::table(&SCENARIOS.iter().map(row).collect::<Vec<_>>()).trim_end());
                Ok(())
            }
        }
    }
}

fn scenarios(name: &str) -> Result<Vec<&'static Scenario>, Failure> {
    if name == "all" {
        return Ok(SCENARIOS.iter().filter_map(|scenario| find(scenario.name)).collect());
    }
    one(name).map(|scenario| vec![scenario])
}

fn one(name: &str) -> Result<&'static Scenario, Failure> {
    find(name).ok_or_else(|| {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        Failure::usage(format_args!("there is no scenario {name}; there are {}", names.join(", ")))
    })
}

impl Run {
    fn run(self) -> Result<(), Failure> {
        let mut jobs = Vec::new();
        for scenario in scenarios(&self.scenario)? {
            let job = |seed| Job { scenario, seed, twice: self.twice };
            jobs.extend((self.seeds.first..=self.seeds.last).map(job));
        }
        let mut tally = Tally::new(&self.output, Some(jobs.len()));
        tally.play(&jobs);
        tally.end()
    }
}

impl Output {
    fn threads(&self) -> NonZeroUsize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.jobs.unwrap_or_else(cores)
    }
}

/// A first seed that nobody has run before, most likely.
fn fresh_base() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Short enough to be typed.
    now.as_secs() % 1_000_000_000 * 1_000
}

impl Soak {
    fn run(self) -> Result<(), Failure> {
        let all = scenarios(&self.scenario)?;
        let base = self.base.unwrap_or_else(fresh_base);
        let end = Instant::now() + Duration::from_secs_f64(self.minutes.clamp(0.0, 1e6) * 60.0);
        eprintln!("base seed {base}");
        let mut tally = Tally::new(&self.output, None);
        let mut seed = base;
        /// Seeds between two looks at the clock.
        const CHUNK: u64 = 16;
        while Instant::now() < end && !tally.is_over() {
            let chunk = seed..seed + CHUNK;
            let jobs: Vec<_> = chunk
                .flat_map(|seed| all.iter().map(move |scenario| Job { scenario, seed, twice: false }))
                .collect();
            tally.play(&jobs);
            seed += CHUNK;
        }
        tally.end()
    }
}

impl Ci {
    fn run(self) -> Result<(), Failure> {
        let base = self.base.unwrap_or_else(fresh_base);
        eprintln!("base seed {base}");
        let mut jobs = Vec::new();
        if let Some(path) = &self.corpus {
            let text = std::fs::read_to_string(path).map_err(Failure::of(path.display()))?;
            for (scenario, seed) in crate::sim::corpus::parse(&text).map_err(Failure::of(path.display()))? {
                jobs.push(Job { scenario, seed, twice: false });
            }
        }
        let all = scenarios("all")?;
        for place in 0..self.fresh {
            let index = usize::try_from(place).unwrap_or(0) % all.len();
            jobs.push(Job { scenario: all[index], seed: base + place, twice: place < self.twice });
        }
        let mut tally = Tally::new(&self.output, Some(jobs.len()));
        tally.play(&jobs);
        tally.end()
    }
}

impl Speed {
    fn run(self) {
        let began = Instant::now();
        let report = run(&LIGHT, &Options { seed: self.seed, only_work: true, ..Options::default() });
        let took = began.elapsed().as_secs_f64();
        let (virtual_seconds, events) = (report.time.as_secs_f64(), report.events as f64);
        let (rate, ratio) = (events / took, virtual_seconds / took);
        if self.json {
            say(serde_json::json!({
                "virtual_seconds": virtual_seconds, "seconds": took, "events": report.events, "polls": report.polls,
                "events_per_second": rate, "virtual_to_real": ratio,
            }));
            return;
        }
        say(format_args!("{virtual_seconds:.0} virtual seconds of {}", LIGHT.about));
        say(format_args!(
            "{took:.2} s on one core, {} events, {} polls: {rate:.0} events a second, {ratio:.0} virtual seconds a second",
            report.events, report.polls
        ));
    }
}

impl Replay {
    fn run(self) -> Result<(), Failure> {
        let scenario = one(&self.scenario)?;
        let faults = self.faults.map(|faults| faults.0);
        let recording = if self.trace.is_some() { Recording::All } else { Recording::Last(40) };
        let options = Options { seed: self.seed, faults, recording, until: self.until, only_work: false };
        let report = run(scenario, &options);
        say(format_args!("scenario {}, seed {}, hash {}", report.scenario, report.seed, report.hash));
        say(format_args!(
            "{:?} of virtual time, {} events, {} polls, {} operations",
            report.time, report.events, report.polls, report.operations
        ));
        if let Some(left) = report.left {
            say(format_args!("{left} bytes of memory were not given back"));
        }
        say_plan(&report.plan);
        if let Some(path) = &self.trace {
            let lines: String = report.records.iter().map(|record| format!("{record}\n")).collect();
            std::fs::write(path, lines).map_err(Failure::of(path.display()))?;
            say(format_args!("{} records in {}", report.records.len(), path.display()));
        } else if report.stopped {
            report.records.iter().for_each(say);
        }
        if report.stopped {
            return Ok(());
        }
        for refusal in &report.refusals {
            say(format_args!("refused: {refusal}"));
        }
        for violation in &report.violations {
            say(violation);
        }
        if report.passed() { Ok(()) } else { Err(Failure::new("the seed fails")) }
    }
}

fn say_plan(plan: &[Planned]) {
    for (place, planned) in plan.iter().enumerate() {
        say(format_args!("  fault {place}: {planned}"));
    }
}

impl Shrink {
    fn run(self) -> Result<(), Failure> {
        let scenario = one(&self.scenario)?;
        let found = shrink(scenario, self.seed, |faults| eprintln!("fails with {faults} faults"));
        let Some((faults, report)) = found else {
            say("the seed passes: there is nothing to shrink");
            return Ok(());
        };
        say(format_args!("{} of {} faults are needed:", faults.len(), report.planned));
        say_plan(&report.plan);
        report.violations.iter().for_each(say);
        say(replay_command(&report, Some(&faults)));
        Err(Failure::new("the seed fails"))
    }
}

/// The one command that plays a seed again.
fn replay_command(report: &Report, faults: Option<&[usize]>) -> String {
    let mut command = format!("shroud sim replay --scenario {} --seed {}", report.scenario, report.seed);
    if let Some(faults) = faults {
        let list: Vec<_> = faults.iter().map(ToString::to_string).collect();
        command
            .push_str(&format!(" --faults {}", if list.is_empty() { "none".into() } else { list.join(",") }));
    }
    command
}

/// Where two runs of one seed part.
fn divergence(report: &Report) -> String {
    let Some(scenario) = find(report.scenario) else { return String::new() };
    let options = Options { seed: report.seed, recording: Recording::All, ..Options::default() };
    let (left, right) = (run(scenario, &options), run(scenario, &options));
    first_difference(&left.records, &right.records)
        .map_or("two more runs were the same".into(), |difference| difference.to_string())
}

//! A transport on every backend against its peer: ABBA blocks of fresh processes, and what the paired costs say.

use crate::arms::available;
use crate::child::processors;
use clap::Args;
use serde_json::{Value, json};
use shroud::backends::REAL;
use shroud::backends::tokio::TokioPerCore;
use shroud_bench::affinity;
use shroud_bench::proc::MachineLoad;
use shroud_bench::rng::Rng;
use shroud_bench::stats::{NoiseFloor, Ratio, median, paired_ratio};
use shroud_bench::transport::{Identity, Served, Workload, measure};
use std::error::Error;
use std::process::Command;
use std::time::Duration;

/// How a comparison with a peer is made.
#[derive(Debug, Clone, Args)]
pub(crate) struct Versus {
    /// Only these backends
    #[arg(long, value_delimiter = ',')]
    backends: Vec<String>,
    /// ABBA blocks of two runs of each arm; at least 5 for an interval worth its name
    #[arg(long, default_value_t = 5)]
    blocks: usize,
    /// Seconds that each run is measured
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Seconds of warm-up before
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Order and resampling
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is compared.
pub(crate) struct Case<'a> {
    pub(crate) title: String,
    pub(crate) peer: &'a str,
    pub(crate) workload: Workload,
    pub(crate) identity: &'a Identity,
    /// What the library alone takes, in microseconds of CPU, where that is known.
    pub(crate) floor: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    cpu_us: f64,
    per_second: f64,
    client_busy: f64,
}

struct Row<'a> {
    arm: &'a str,
    peer: Vec<Sample>,
    ours: Vec<Sample>,
    ratio: Ratio,
}

impl Versus {
    /// Compares all cases, and prints each as soon as it is done.
    pub(crate) fn run(&self, cases: &[Case<'_>]) -> Result<(), Box<dyn Error>> {
        let arms = arms(&self.backends);
        let mut rng = Rng::new(self.seed).fork("order");
        let mut all = Vec::new();
        for case in cases {
            let before = MachineLoad::read();
            let (_, _, pairs) = self.compare(case, case.peer, &mut rng)?;
            let noise = NoiseFloor::from_pairs(&pairs).ok_or("no blocks")?;
            let mut rows = Vec::new();
            for arm in &arms {
                let (peer, ours, pairs) = self.compare(case, arm, &mut rng)?;
                let ratio = paired_ratio(&pairs, self.seed).ok_or("no blocks")?;
                rows.push(Row { arm, peer, ours, ratio });
            }
            let load = (before.load, MachineLoad::read().load);
            if self.json {
                all.push(to_json(case, &rows, &noise, load));
            } else {
                print(case, &rows, &noise, load);
            }
        }
        if self.json {
            println!("{:#}", json!({ "blocks": self.blocks, "seed": self.seed, "cases": all }));
        }
        Ok(())
    }

    /// Samples of the peer and of an arm, and the pairs of neighbours (arm, peer).
    #[allow(clippy::type_complexity)]
    fn compare(
        &self,
        case: &Case<'_>,
        arm: &str,
        rng: &mut Rng,
    ) -> Result<(Vec<Sample>, Vec<Sample>, Vec<(f64, f64)>), Box<dyn Error>> {
        let (mut peer, mut ours, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        let blocks = self.blocks.max(1);
        for block in 1..=blocks {
            eprintln!("{}: {arm} against {}: block {block} of {blocks}", case.title, case.peer);
            let order = if rng.next_u64() & 1 == 0 { [0, 1, 1, 0] } else { [1, 0, 0, 1] };
            let mut made = [Vec::new(), Vec::new()];
            for which in order {
                made[which].push(self.sample(case, [case.peer, arm][which])?);
            }
            let [theirs, mine] = made;
            pairs.extend(mine.iter().zip(&theirs).map(|(a, b): (&Sample, &Sample)| (a.cpu_us, b.cpu_us)));
            peer.extend(theirs);
            ours.extend(mine);
        }
        Ok((peer, ours, pairs))
    }

    fn sample(&self, case: &Case<'_>, arm: &str) -> Result<Sample, Box<dyn Error>> {
        let (server_cpus, client_cpus) = processors();
        let served = start(arm, &server_cpus, case.identity)?;
        let _pinned = if client_cpus.is_empty() { None } else { Some(affinity::pin(&client_cpus)?) };
        let (warm_up, time) = (Duration::from_secs_f64(self.warm_up), Duration::from_secs_f64(self.seconds));
        let client = TokioPerCore;
        let blocks = measure(&client, case.workload, &served, case.identity, warm_up, &[time]);
        let blocks = blocks.map_err(|error| format!("{}, {arm}: {error}", case.title))?;
        let block = blocks.first().ok_or("no block")?;
        Ok(Sample {
            cpu_us: block.cpu_us(),
            per_second: block.per_second(),
            client_busy: block.outcome.client_cpu.as_secs_f64()
                / block.outcome.elapsed.as_secs_f64().max(1e-9),
        })
    }
}

/// The backends that were asked for and can run here; the others are named.
pub(crate) fn arms(wanted: &[String]) -> Vec<String> {
    let all: Vec<String> = REAL.map(str::to_owned).to_vec();
    let mut arms = if wanted.is_empty() { all } else { wanted.to_vec() };
    arms.retain(|name| match available(name) {
        Some(reason) => {
            eprintln!("SKIPPED {name}: {reason}");
            false
        }
        None => true,
    });
    arms
}

/// A server's process: a backend, or a peer.
pub(crate) fn start(arm: &str, cpus: &[usize], identity: &Identity) -> Result<Served, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve-transport", arm]);
    Ok(Served::start(command, cpus, identity)?)
}

fn middle(samples: &[Sample], value: fn(&Sample) -> f64) -> f64 {
    median(&samples.iter().map(value).collect::<Vec<_>>()).unwrap_or(f64::NAN)
}

fn to_json(case: &Case<'_>, rows: &[Row<'_>], noise: &NoiseFloor, load: (f64, f64)) -> Value {
    let of = |samples: &[Sample], value: fn(&Sample) -> f64| samples.iter().map(value).collect::<Vec<_>>();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "arm": row.arm, "ratio": row.ratio,
                "cpu_us": of(&row.ours, |s| s.cpu_us), "peer_cpu_us": of(&row.peer, |s| s.cpu_us),
                "per_second": of(&row.ours, |s| s.per_second), "peer_per_second": of(&row.peer, |s| s.per_second),
                "client_busy": of(&row.ours, |s| s.client_busy), "peer_client_busy": of(&row.peer, |s| s.client_busy),
            })
        })
        .collect();
    json!({
        "case": case.title, "peer": case.peer, "floor_cpu_us": case.floor,
        "noise_floor": noise, "load": load, "rows": rows,
    })
}

fn print(case: &Case<'_>, rows: &[Row<'_>], noise: &NoiseFloor, load: (f64, f64)) {
    println!(
        "{}: server CPU, us; A/A noise floor x{:.3}; load {:.2} before, {:.2} after",
        case.title, noise.factor, load.0, load.1
    );
    println!(
        "{:<16}{:>9}{:>11}{:>8}{:>9}   {:>14}{:>11}{:>8}   {:>7}  95% interval",
        "backend", "CPU us", "a second", "client", "Gbit/s", case.peer, "a second", "Gbit/s", "ratio"
    );
    let bulk = matches!(case.workload, Workload::Bulk { .. });
    // A megabyte in so many microseconds of one core.
    let gigabits = |cpu_us: f64| if bulk { format!("{:.2}", 8_000.0 / cpu_us) } else { "-".to_owned() };
    for Row { arm, peer, ours, ratio } in rows {
        let (mine, theirs) = (middle(ours, |s| s.cpu_us), middle(peer, |s| s.cpu_us));
        let interval = ratio.interval;
        println!(
            "{arm:<16}{mine:>9.2}{:>11.0}{:>7.0}%{:>9}   {theirs:>14.2}{:>11.0}{:>8}   {:>7.3}  {:.3} - {:.3}",
            middle(ours, |s| s.per_second),
            middle(ours, |s| s.client_busy) * 100.0,
            gigabits(mine),
            middle(peer, |s| s.per_second),
            gigabits(theirs),
            interval.median,
            interval.low,
            interval.high
        );
    }
    if let Some(floor) = case.floor {
        println!("{:<16}{floor:>9.2}   the server's part in memory, without packets", "rustls alone");
    }
    println!();
}

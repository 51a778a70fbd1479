//! `shroud-bench seam`.

use crate::arms::{Arm, BODY, PAIRS, available};
use crate::child::{Child, processors};
use clap::Args;
use serde_json::json;
use shroud_bench::affinity;
use shroud_bench::load::{Client, Expected, Lane, Work};
use shroud_bench::proc::MachineLoad;
use shroud_bench::rng::Rng;
use shroud_bench::stats::{NoiseFloor, Ratio, median, paired_ratio};
use std::error::Error;
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: node\r\n\r\n";
/// Connections of the client.
const CONNECTIONS: usize = 32;
/// Requests of a piece of warm-up: short, so that its end is near the time that was asked for.
const PIECE: usize = 3_200;

/// Server CPU of an HTTP request over the seam, against the same hyper server on each runtime's own API
#[derive(Debug, Args)]
pub(crate) struct Seam {
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

/// What a run of an arm gave.
#[derive(Debug, Clone, Copy)]
struct Sample {
    cpu_us: f64,
    per_second: f64,
}

impl Seam {
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        let before = MachineLoad::read();
        let mut rng = Rng::new(self.seed).fork("order");
        let noise =
            NoiseFloor::from_pairs(&self.compare(Arm::Tokio, Arm::Tokio, &mut rng)?.1).ok_or("no blocks")?;
        let mut results = Vec::new();
        for (direct, seam) in PAIRS {
            if let Some(reason) = seam.backend().and_then(available) {
                eprintln!("{} skipped: {reason}", seam.name());
                continue;
            }
            let (samples, pairs) = self.compare(direct, seam, &mut rng)?;
            let ratio = paired_ratio(&pairs, self.seed).ok_or("no blocks")?;
            results.push((direct, seam, samples, ratio));
        }
        let load = (before.load, MachineLoad::read().load);
        if self.json {
            println!("{:#}", self.to_json(&results, &noise, load));
        } else {
            print(&results, &noise, load);
        }
        Ok(())
    }

    /// ABBA blocks of fresh processes; pairs are (second, first) of neighbours.
    #[allow(clippy::type_complexity)]
    fn compare(
        &self,
        first: Arm,
        second: Arm,
        rng: &mut Rng,
    ) -> Result<([Vec<Sample>; 2], Vec<(f64, f64)>), Box<dyn Error>> {
        let (mut samples, mut pairs) = ([Vec::new(), Vec::new()], Vec::new());
        for block in 0..self.blocks.max(1) {
            eprintln!(
                "{} against {}: block {} of {}",
                second.name(),
                first.name(),
                block + 1,
                self.blocks.max(1)
            );
            let order = if rng.next_u64() & 1 == 0 { [0, 1, 1, 0] } else { [1, 0, 0, 1] };
            let mut made = [Vec::new(), Vec::new()];
            for arm in order {
                made[arm].push(self.measure([first, second][arm])?);
            }
            let [a, b]: &[Vec<Sample>; 2] = &made;
            pairs.extend(b.iter().zip(a).map(|(b, a)| (b.cpu_us, a.cpu_us)));
            samples.iter_mut().zip(made).for_each(|(all, new)| all.extend(new));
        }
        Ok((samples, pairs))
    }

    fn measure(&self, arm: Arm) -> Result<Sample, Box<dyn Error>> {
        let (server_cpus, client_cpus) = processors();
        let (server, address) = Child::server(arm, &server_cpus)?;
        let _pinned = if client_cpus.is_empty() { None } else { Some(affinity::pin(&client_cpus)?) };
        let mut client = Client::connect(address, CONNECTIONS)?;
        let (start, piece) = (Instant::now(), work(PIECE));
        let mut rate = 0.0_f64;
        while start.elapsed() < Duration::from_secs_f64(self.warm_up) {
            let outcome = client.closed_loop(&piece, 1)?;
            rate = rate.max(outcome.operations as f64 / outcome.elapsed.as_secs_f64());
        }
        let work = work(((rate * self.seconds) as usize).max(PIECE));
        let before = server.process.usage()?;
        let outcome = client.closed_loop(&work, 1)?;
        let used = server.process.between(&before, &server.process.usage()?);
        if let Some(error) = outcome.first_error {
            return Err(format!("{}: {} wrong answers: {error}", arm.name(), outcome.errors).into());
        }
        let operations = outcome.operations as f64;
        Ok(Sample {
            cpu_us: used.cpu_nanos as f64 / 1e3 / operations,
            per_second: operations / outcome.elapsed.as_secs_f64(),
        })
    }

    fn to_json(
        &self,
        results: &[(Arm, Arm, [Vec<Sample>; 2], Ratio)],
        noise: &NoiseFloor,
        load: (f64, f64),
    ) -> serde_json::Value {
        let samples = |samples: &[Sample]| samples.iter().map(|sample| sample.cpu_us).collect::<Vec<_>>();
        let pairs: Vec<_> = results
            .iter()
            .map(|(direct, seam, [a, b], ratio)| {
                json!({
                    "direct": direct.name(), "seam": seam.name(), "ratio": ratio,
                    "direct_cpu_us": samples(a), "seam_cpu_us": samples(b),
                })
            })
            .collect();
        json!({ "blocks": self.blocks, "seed": self.seed, "noise_floor": noise, "load": load, "pairs": pairs })
    }
}

fn work(operations: usize) -> Work {
    let mut lane = Lane::default();
    lane.push(REQUEST, Expected::Body(BODY.to_vec()));
    lane.repeat(operations.div_ceil(CONNECTIONS));
    Work { lanes: vec![lane; CONNECTIONS] }
}

fn print(results: &[(Arm, Arm, [Vec<Sample>; 2], Ratio)], noise: &NoiseFloor, load: (f64, f64)) {
    println!(
        "server CPU of an HTTP/1.1 request, us; A/A noise floor x{:.3}; load {:.2} before, {:.2} after",
        noise.factor, load.0, load.1
    );
    println!(
        "{:<22}{:>9}{:>11}   {:<20}{:>9}{:>11}   {:>7}  95% interval",
        "own API", "CPU us", "requests/s", "over the seam", "CPU us", "requests/s", "ratio"
    );
    for (direct, seam, samples, ratio) in results {
        let middle = |samples: &[Sample], value: fn(&Sample) -> f64| {
            median(&samples.iter().map(value).collect::<Vec<_>>()).unwrap_or(f64::NAN)
        };
        let [a, b] = samples;
        let interval = ratio.interval;
        println!(
            "{:<22}{:>9.2}{:>11.0}   {:<20}{:>9.2}{:>11.0}   {:>7.3}  {:.3} - {:.3}",
            direct.name(),
            middle(a, |sample| sample.cpu_us),
            middle(a, |sample| sample.per_second),
            seam.name(),
            middle(b, |sample| sample.cpu_us),
            middle(b, |sample| sample.per_second),
            interval.median,
            interval.low,
            interval.high
        );
    }
}

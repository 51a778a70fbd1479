//! `shroud-bench websocket`.

mod client;
mod serve;

use crate::arms::available;
use crate::child::{Child, processors};
use clap::Args;
use client::Client;
use serde_json::json;
use shroud::backends::REAL;
use shroud_bench::affinity;
use shroud_bench::proc::MachineLoad;
use shroud_bench::rng::Rng;
use shroud_bench::stats::{NoiseFloor, Slope, median, paired_ratio, slope};
use std::error::Error;
use std::time::Duration;

pub(crate) use serve::serve;

/// The peer: fastwebsockets on Tokio's current thread, as its own echo example does it.
const PEER: &str = "fastwebsockets";
/// Connections of the client.
const CONNECTIONS: usize = 32;
/// Idle connections at which memory is read.
const IDLE: [usize; 4] = [500, 2_000, 3_500, 5_000];
/// After the last answer, until buffers that empty themselves have done so.
const SETTLE: Duration = Duration::from_millis(300);

/// Server CPU of an echoed WebSocket message, and memory of an idle connection, against fastwebsockets
#[derive(Debug, Args)]
pub(crate) struct Websocket {
    /// Only these backends
    #[arg(long, value_delimiter = ',')]
    backends: Vec<String>,
    /// ABBA blocks of two runs of each arm
    #[arg(long, default_value_t = 5)]
    blocks: usize,
    /// Seconds that each run is measured
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Bytes of a message
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Messages that a connection sends before it reads the echoes: 1 is unbatched
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Order and resampling
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Measure the memory of idle connections instead
    #[arg(long)]
    idle: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    cpu_us: f64,
    per_second: f64,
}

impl Websocket {
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        let all: Vec<String> = REAL.map(str::to_owned).to_vec();
        let names = if self.backends.is_empty() { &all } else { &self.backends };
        let mut arms = Vec::new();
        for name in names {
            match available(name) {
                Some(reason) => eprintln!("{name} skipped: {reason}"),
                None => arms.push(name.as_str()),
            }
        }
        if self.idle { self.memory(&arms) } else { self.echo(&arms) }
    }

    fn echo(&self, arms: &[&str]) -> Result<(), Box<dyn Error>> {
        let before = MachineLoad::read();
        let mut rng = Rng::new(self.seed).fork("order");
        let (_, pairs) = self.compare(PEER, &mut rng)?;
        let noise = NoiseFloor::from_pairs(&pairs).ok_or("no blocks")?;
        let mut rows = Vec::new();
        for arm in arms {
            let (samples, pairs) = self.compare(arm, &mut rng)?;
            rows.push((*arm, samples, paired_ratio(&pairs, self.seed).ok_or("no blocks")?));
        }
        let load = (before.load, MachineLoad::read().load);
        if self.json {
            let rows: Vec<_> = rows
                .iter()
                .map(|(arm, [peer, ours], ratio)| {
                    let cpu = |all: &[Sample]| all.iter().map(|sample| sample.cpu_us).collect::<Vec<_>>();
                    json!({ "arm": arm, "ratio": ratio, "cpu_us": cpu(ours), "peer_cpu_us": cpu(peer) })
                })
                .collect();
            println!(
                "{:#}",
                json!({ "bytes": self.bytes, "batch": self.batch, "noise_floor": noise, "load": load, "rows": rows })
            );
            return Ok(());
        }
        println!(
            "server CPU of an echoed message of {} bytes, {} at a time, {CONNECTIONS} connections, us; A/A noise floor \
             x{:.3}; load {:.2} before, {:.2} after",
            self.bytes, self.batch, noise.factor, load.0, load.1
        );
        println!(
            "{:<16}{:>9}{:>12}   {:>14}{:>12}   {:>7}  95% interval",
            "backend", "CPU us", "messages/s", PEER, "messages/s", "ratio"
        );
        for (arm, samples, ratio) in &rows {
            let middle = |samples: &[Sample], value: fn(&Sample) -> f64| {
                median(&samples.iter().map(value).collect::<Vec<_>>()).unwrap_or(f64::NAN)
            };
            let [peer, ours] = samples;
            let interval = ratio.interval;
            println!(
                "{arm:<16}{:>9.3}{:>12.0}   {:>14.3}{:>12.0}   {:>7.3}  {:.3} - {:.3}",
                middle(ours, |sample| sample.cpu_us),
                middle(ours, |sample| sample.per_second),
                middle(peer, |sample| sample.cpu_us),
                middle(peer, |sample| sample.per_second),
                interval.median,
                interval.low,
                interval.high
            );
        }
        Ok(())
    }

    /// ABBA blocks of fresh processes against the peer; pairs are (arm, peer) of neighbours.
    #[allow(clippy::type_complexity)]
    fn compare(
        &self,
        arm: &str,
        rng: &mut Rng,
    ) -> Result<([Vec<Sample>; 2], Vec<(f64, f64)>), Box<dyn Error>> {
        let (mut samples, mut pairs) = ([Vec::new(), Vec::new()], Vec::new());
        for block in 0..self.blocks.max(1) {
            eprintln!("{arm} against {PEER}: block {} of {}", block + 1, self.blocks.max(1));
            let order = if rng.next_u64() & 1 == 0 { [0, 1, 1, 0] } else { [1, 0, 0, 1] };
            let mut made = [Vec::new(), Vec::new()];
            for which in order {
                made[which].push(self.measure([PEER, arm][which])?);
            }
            let [a, b]: &[Vec<Sample>; 2] = &made;
            pairs.extend(b.iter().zip(a).map(|(b, a)| (b.cpu_us, a.cpu_us)));
            samples.iter_mut().zip(made).for_each(|(all, new)| all.extend(new));
        }
        Ok((samples, pairs))
    }

    fn measure(&self, arm: &str) -> Result<Sample, Box<dyn Error>> {
        let (server_cpus, client_cpus) = processors();
        let (server, address) = Child::serving(&["serve-websocket", arm], &server_cpus)?;
        let _pinned = if client_cpus.is_empty() { None } else { Some(affinity::pin(&client_cpus)?) };
        let mut client = Client::connect(address, CONNECTIONS, self.bytes, self.batch)?;
        client.echo_for(Duration::from_secs_f64(self.seconds / 2.0))?;
        let before = server.process.usage()?;
        let (messages, elapsed) = client.echo_for(Duration::from_secs_f64(self.seconds))?;
        let used = server.process.between(&before, &server.process.usage()?);
        Ok(Sample {
            cpu_us: used.cpu_nanos as f64 / 1e3 / messages as f64,
            per_second: messages as f64 / elapsed.as_secs_f64(),
        })
    }

    fn memory(&self, arms: &[&str]) -> Result<(), Box<dyn Error>> {
        let mut rows: Vec<(&str, Slope)> = Vec::new();
        for arm in arms.iter().copied().chain([PEER]) {
            eprintln!("{arm}");
            rows.push((arm, idle(arm)?));
        }
        if self.json {
            let rows: Vec<_> =
                rows.iter().map(|(arm, slope)| json!({ "arm": arm, "connection": slope })).collect();
            println!("{:#}", json!({ "connections": IDLE, "rows": rows }));
            return Ok(());
        }
        println!("user memory (PSS) of one more idle WebSocket connection, in bytes: slope over {IDLE:?}");
        for (arm, slope) in &rows {
            println!("{arm:<16}{:>9.0}  R2 {:.4}", slope.slope, slope.r_squared);
        }
        Ok(())
    }
}

/// Each connection has echoed once and waits.
fn idle(arm: &str) -> Result<Slope, Box<dyn Error>> {
    let (server, address) = Child::serving(&["serve-websocket", arm], &[])?;
    let (mut clients, mut open, mut points) = (Vec::new(), 0, Vec::new());
    for count in IDLE {
        let mut client = Client::connect(address, count - open, 64, 1)?;
        client.echo_once()?;
        clients.push(client);
        open = count;
        std::thread::sleep(SETTLE);
        points.push((count as f64, server.process.memory()?.pss as f64));
    }
    slope(&points).ok_or_else(|| "no line through the points".into())
}

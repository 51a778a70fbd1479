//! A bug that a seed finds: a queue on disk that acknowledges before it syncs. On a machine that never loses power it
//! works; in the simulator, the first seeds that cut the power at the wrong moment show what was lost, and replay it.
//!
//! `cargo run -p shroud-sim --example find_a_bug`

use shroud_runtime::{BlockFile, OpenOptions, Runtime};
use shroud_sim::{HostConfig, SimConfig, SimRuntime, Simulation};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One entry.
const ENTRY: u64 = 8;

/// Appends numbers and acknowledges each. With `careful`, only once it is durable.
async fn append(rt: SimRuntime, acknowledged: Arc<AtomicU64>, careful: bool) -> std::io::Result<()> {
    let file = rt.open(Path::new("queue"), OpenOptions::creating()).await?;
    file.sync_all().await?;
    rt.sync_dir(Path::new("/")).await?;
    for number in 1_u64.. {
        file.write_at(number.to_be_bytes().to_vec(), (number - 1) * ENTRY).await.result?;
        if careful {
            file.sync_data().await?;
            acknowledged.store(number, Ordering::Relaxed);
        } else {
            acknowledged.store(number, Ordering::Relaxed);
            file.sync_data().await?;
        }
    }
    Ok(())
}

/// How many entries are there after a restart.
async fn count(rt: SimRuntime) -> std::io::Result<u64> {
    let file = rt.open(Path::new("queue"), OpenOptions::reading()).await?;
    let mut number = 0_u64;
    loop {
        let lent = file.read_at(vec![0; 8], number * ENTRY).await;
        if lent.result? < 8 || lent.buffer != (number + 1).to_be_bytes() {
            return Ok(number);
        }
        number += 1;
    }
}

/// Acknowledged and found entries after a power failure at a time that the seed draws.
fn crash_once(seed: u64, careful: bool) -> (u64, u64) {
    let simulation = Simulation::new(SimConfig::seed(seed));
    let host = simulation.host(HostConfig::new("queue"));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let shared = Arc::clone(&acknowledged);
    host.start(1, move |rt| append(rt, Arc::clone(&shared), careful));
    let at = simulation.universe().chance("power failure").between(20_000, 200_000);
    simulation.run_until(Duration::from_micros(at));
    host.crash();
    let program = host.start(1, count);
    simulation.run_to_end();
    // A file whose name was not durable yet has nothing in it.
    let found = program.results().pop().flatten().and_then(Result::ok).and_then(Result::ok).unwrap_or(0);
    (acknowledged.load(Ordering::Relaxed), found)
}

fn main() {
    for careful in [false, true] {
        let failing = (0..200).map(|seed| (seed, crash_once(seed, careful)));
        match failing.clone().find(|(_, (acknowledged, found))| found < acknowledged) {
            Some((seed, (acknowledged, found))) => {
                println!(
                    "careful: {careful}: seed {seed} acknowledged {acknowledged} entries and kept {found}"
                );
                assert_eq!(crash_once(seed, careful), (acknowledged, found), "a seed always does the same");
                assert!(!careful);
            }
            None => println!("careful: {careful}: 200 seeds, nothing acknowledged was lost"),
        }
    }
}

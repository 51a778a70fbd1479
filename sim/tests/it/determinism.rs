//! The same seed, the same run.

use crate::support::{connect, echo, exchange, pair};
use shroud_runtime::{BlockFile, DatagramOptions, OpenOptions, Runtime, RuntimeExt, net::DatagramExt};
use shroud_sim::{LinkConfig, Outcome, Policy, Record, SimConfig, Simulation, first_difference};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A bit of everything, with faults.
fn run(seed: u64) -> (Outcome, Vec<Record>) {
    let (simulation, server, client) = pair(seed);
    simulation.universe().change_links(|link| *link = LinkConfig::lossy());
    server.start(2, echo);
    let program = client.start(2, |rt| async move {
        let mut stream = connect(&rt).await;
        let socket = rt.bind(SocketAddr::from(([0, 0, 0, 0], 0)), DatagramOptions::default()).await.unwrap();
        let path = rt.shard().index.to_string();
        let file = rt.open(Path::new(&path), OpenOptions::creating()).await.unwrap();
        for round in 0..20_u64 {
            let mut bytes = vec![0; 10 + 100 * usize::try_from(round).unwrap()];
            rt.fill(&mut bytes);
            exchange(&mut stream, &bytes).await.unwrap();
            let _ = socket.send_to(&bytes[..10], SocketAddr::from(([10, 0, 0, 1], 53))).await;
            file.write_at(bytes, round * 100).await.result.unwrap();
            file.sync_data().await.unwrap();
            rt.offload(|| ()).await.unwrap();
            rt.sleep(Duration::from_millis(round)).await;
        }
    });
    simulation.at(Duration::from_millis(700), {
        let server = server.clone();
        move || server.pause(Duration::from_secs(1))
    });
    let outcome = simulation.run_while(|| program.is_running());
    assert!(outcome.is_done(), "{outcome}");
    assert!(program.results().into_iter().all(|result| result == Some(Ok(()))));
    (outcome, simulation.universe().records())
}

#[test]
fn a_seed_gives_the_same_run_bit_for_bit_and_another_seed_another() {
    let mut hashes = Vec::new();
    for seed in 0..20 {
        let (first, records) = run(seed);
        let (second, again) = run(seed);
        assert_eq!(first_difference(&records, &again), None, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
        hashes.push(first.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 20);
}

#[test]
fn the_first_event_that_differs_is_named() {
    let (first, second) = (run(1).1, run(2).1);
    let difference = first_difference(&first, &second).expect("they differ").to_string();
    assert!(difference.contains("event ") && difference.contains(" in the first"), "{difference}");
    let shorter = first.get(..first.len() - 1).unwrap();
    let difference = first_difference(&first, shorter).expect("one is longer").to_string();
    assert!(difference.contains("the end in the second"), "{difference}");
}

#[test]
fn every_policy_is_reproducible() {
    for policy in [Policy::Uniform, Policy::Fifo, Policy::Priorities { changes: 3, horizon: 1000 }] {
        let hash = || {
            let simulation = Simulation::new(SimConfig { policy, ..SimConfig::seed(5) });
            let server = simulation.host(shroud_sim::HostConfig::new("server"));
            let client = simulation.host(shroud_sim::HostConfig::new("client"));
            server.start(1, echo);
            let program = client.start(1, |rt| async move {
                let mut stream = connect(&rt).await;
                exchange(&mut stream, &[7; 5000]).await.unwrap();
            });
            let outcome = simulation.run_while(|| program.is_running());
            assert!(outcome.is_done(), "{policy:?}: {outcome}");
            outcome.hash
        };
        assert_eq!(hash(), hash(), "{policy:?}");
    }
}

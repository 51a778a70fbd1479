//! Choosing, deadlocks, and rare interleavings.

use shroud_runtime::sync::{Mutex, channel};
use shroud_runtime::{Runtime, RuntimeExt, TaskError};
use shroud_sim::{HostConfig, Policy, SimConfig, Simulation, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn a_deadlock_names_the_tasks_that_wait() {
    let simulation = Simulation::new(SimConfig::seed(1));
    let program = simulation.host(HostConfig::new("stuck")).start(1, |rt| async move {
        let (first, second) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let tasks = [(first.clone(), second.clone()), (second, first)].map(|(one, other)| {
            let runtime = rt.clone();
            rt.spawn("takes both locks", async move {
                let _one = one.lock().await;
                runtime.sleep(Duration::from_millis(1)).await;
                let _other = other.lock().await;
            })
        });
        for task in tasks {
            let _ = task.await;
        }
    });
    let outcome = simulation.run_while(|| program.is_running());
    let Verdict::Deadlock(waiting) = &outcome.verdict else { panic!("{outcome}") };
    assert!(waiting.contains("stuck (host 0)"), "{waiting}");
    assert_eq!(waiting.matches("takes both locks").count(), 2, "{waiting}");
    assert!(waiting.contains("main #1 [general] polls"), "{waiting}");
}

/// Reads a counter, yields, writes it back: the bug needs one task to be overtaken there.
fn loses_an_update(seed: u64, policy: Policy) -> bool {
    let simulation = Simulation::new(SimConfig { policy, ..SimConfig::seed(seed) });
    let counter = Arc::new(AtomicU32::new(0));
    let shared = Arc::clone(&counter);
    let program = simulation.host(HostConfig::new("host")).start(1, move |rt| {
        let counter = Arc::clone(&shared);
        async move {
            let tasks = [(), ()].map(|()| {
                let counter = Arc::clone(&counter);
                rt.spawn("counts", async move {
                    let seen = counter.load(SeqCst);
                    futures_lite::future::yield_now().await;
                    counter.store(seen + 1, SeqCst);
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
        }
    });
    assert!(simulation.run_while(|| program.is_running()).is_done());
    counter.load(SeqCst) == 1
}

#[test]
fn seeds_find_interleavings_under_every_policy() {
    let lost = |policy| (0..100).filter(|seed| loses_an_update(*seed, policy)).count();
    let uniform = lost(Policy::Uniform);
    assert!((1..100).contains(&uniform), "{uniform} of 100");
    let priorities = lost(Policy::Priorities { changes: 2, horizon: 20 });
    assert!((1..100).contains(&priorities), "{priorities} of 100");
    assert!([0, 100].contains(&lost(Policy::Fifo)), "it knows one order");
}

#[test]
fn tasks_that_wait_by_yielding_starve_nobody() {
    for policy in [Policy::Uniform, Policy::Fifo, Policy::Priorities { changes: 1, horizon: 100 }] {
        let simulation = Simulation::new(SimConfig { policy, ..SimConfig::seed(3) });
        let program = simulation.host(HostConfig::new("host")).start(1, |rt| async move {
            let (sender, receiver) = channel::bounded::<()>(1);
            let spinners: Vec<_> = (0..4)
                .map(|_| {
                    let receiver = receiver.clone();
                    rt.spawn("spins", async move {
                        while receiver.is_empty() {
                            futures_lite::future::yield_now().await;
                        }
                    })
                })
                .collect();
            rt.sleep(Duration::from_millis(5)).await;
            sender.send(()).await.unwrap();
            for spinner in spinners {
                spinner.await.unwrap();
            }
        });
        assert!(simulation.run_until(Duration::from_secs(10)).is_done());
        assert_eq!(program.results(), [Some(Ok(()))], "{policy:?}");
    }
}

#[test]
fn a_panicking_main_is_told_and_nobody_else_is_touched() {
    let simulation = Simulation::new(SimConfig::seed(3));
    let well = simulation.host(HostConfig::new("well")).start(1, |rt| async move {
        rt.sleep(Duration::from_secs(1)).await;
        1
    });
    let ill = simulation
        .host(HostConfig::new("ill"))
        .start(1, |_| async { if true { panic!("expected panic") } else { 0 } });
    assert!(simulation.run_to_end().is_done());
    assert_eq!(ill.results(), [Some(Err(TaskError::Panicked("expected panic".to_owned())))]);
    assert_eq!(well.results(), [Some(Ok(1))]);
}

#[test]
fn a_thousand_idle_seconds_take_no_time() {
    let simulation = Simulation::new(SimConfig::seed(3));
    let program = simulation.host(HostConfig::new("host")).start(1, |rt| async move {
        for _ in 0..1000 {
            rt.sleep(Duration::from_secs(1)).await;
        }
    });
    let outcome = simulation.run_to_end();
    assert!(outcome.is_done() && !program.is_running());
    assert!(outcome.time >= Duration::from_secs(1000) && outcome.polls < 10_000, "{outcome}");
}

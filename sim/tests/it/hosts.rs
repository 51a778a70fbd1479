//! Crashes, restarts, pauses, clocks.

use crate::support::{connect, echo, exchange, pair};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud_runtime::{BlockFile, OpenOptions, Runtime, RuntimeExt};
use shroud_sim::{HostConfig, SimConfig, Simulation};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_crash_keeps_what_was_synced_drops_all_tasks_and_lets_no_destructor_do_io() {
    struct WritesWhenDropped(shroud_sim::SimRuntime, Arc<AtomicUsize>);
    impl Drop for WritesWhenDropped {
        fn drop(&mut self) {
            self.1.fetch_add(1, SeqCst);
            let rt = self.0.clone();
            let ran = Arc::clone(&self.1);
            self.0
                .spawn("from a destructor", async move {
                    let _ = rt.open(Path::new("late"), OpenOptions::creating()).await;
                    ran.fetch_add(100, SeqCst);
                })
                .detach();
        }
    }

    for seed in 0..20 {
        let simulation = Simulation::new(SimConfig::seed(seed));
        let host = simulation.host(HostConfig::new("host"));
        let dropped = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&dropped);
        let program = host.start(2, move |rt| {
            let counted = Arc::clone(&counted);
            async move {
                let _guard = WritesWhenDropped(rt.clone(), counted);
                let path = rt.shard().index.to_string();
                let file = rt.open(Path::new(&path), OpenOptions::creating()).await.unwrap();
                file.write_at(b"synced".to_vec(), 0).await.result.unwrap();
                file.sync_data().await.unwrap();
                rt.sync_dir(Path::new("/")).await.unwrap();
                for offset in (6..).step_by(1000) {
                    file.write_at(vec![7; 1000], offset).await.result.unwrap();
                }
            }
        });
        simulation.run_until(SECOND / 20);
        assert!(program.is_running());
        host.crash();
        assert!(!program.is_running() && !host.is_running());
        assert_eq!(program.results(), [None, None]);
        simulation.run_until(2 * SECOND);
        assert_eq!(dropped.load(SeqCst), 2, "bodies were dropped, and did nothing more");
        let program = host.start(1, |rt| async move {
            let mut found = Vec::new();
            for path in ["0", "1"] {
                let file = rt.open(Path::new(path), OpenOptions::reading()).await.unwrap();
                let lent = file.read_at(vec![0; 6], 0).await;
                found.push((lent.result.unwrap(), lent.buffer));
            }
            (found, rt.open(Path::new("late"), OpenOptions::reading()).await.is_err())
        });
        assert!(simulation.run_to_end().is_done());
        let (found, none) = program.results().pop().flatten().unwrap().unwrap();
        assert!(none);
        assert_eq!(found, [(6, b"synced".to_vec()), (6, b"synced".to_vec())]);
        assert_eq!(simulation.universe().census(), shroud_sim::Census::default());
    }
}

#[test]
fn a_crashed_peer_is_silent_and_once_it_is_back_it_resets() {
    let (simulation, server, client) = pair(4);
    server.start(1, echo);
    let program = client.start(1, |rt| async move {
        let mut stream = connect(&rt).await;
        exchange(&mut stream, b"before").await.unwrap();
        rt.sleep(2 * SECOND).await;
        // The power has gone meanwhile: nobody says so.
        stream.write_all(b"anybody?").await.unwrap();
        let silent = rt.timeout(3 * SECOND, stream.read(&mut [0; 10])).await.is_err();
        rt.sleep(5 * SECOND).await;
        // It is back, and knows nothing of the connection.
        let error = rt.timeout(60 * SECOND, stream.read(&mut [0; 10])).await.unwrap().unwrap_err();
        let mut stream = connect(&rt).await;
        exchange(&mut stream, b"after").await.unwrap();
        (silent, error.kind())
    });
    simulation.run_until(SECOND);
    server.crash();
    simulation.run_until(7 * SECOND);
    server.start(1, echo);
    simulation.run_while(|| program.is_running());
    assert_eq!(program.results(), [Some(Ok((true, ErrorKind::ConnectionReset)))]);
}

#[test]
fn a_killed_program_leaves_its_peer_an_end_of_file_and_its_files_as_written() {
    let (simulation, server, client) = pair(4);
    server.start(1, |rt| async move {
        let file = rt.open(Path::new("file"), OpenOptions::creating()).await.unwrap();
        file.write_at(b"never synced".to_vec(), 0).await.result.unwrap();
        echo(rt).await
    });
    let program = client.start(1, |rt| async move {
        let mut stream = connect(&rt).await;
        exchange(&mut stream, b"before").await.unwrap();
        stream.read(&mut [0; 10]).await.map_err(|error| error.kind())
    });
    simulation.run_until(SECOND);
    server.kill();
    assert!(simulation.run_to_end().is_done());
    assert_eq!(program.results(), [Some(Ok(Ok(0)))]);
    let program = server.start(1, |rt| async move {
        let file = rt.open(Path::new("file"), OpenOptions::reading()).await.unwrap();
        file.len().await.unwrap()
    });
    assert!(simulation.run_to_end().is_done());
    assert_eq!(program.results(), [Some(Ok(12))]);
}

#[test]
fn a_paused_host_answers_late_and_its_timers_are_late() {
    let (simulation, server, client) = pair(9);
    server.start(1, echo);
    let program = client.start(1, |rt| async move {
        let mut stream = connect(&rt).await;
        let mut longest = Duration::ZERO;
        while longest < SECOND {
            let start = rt.now();
            exchange(&mut stream, b"are you there?").await.unwrap();
            longest = longest.max(rt.now() - start);
            rt.sleep(Duration::from_millis(50)).await;
        }
        longest
    });
    let paused = server.clone();
    simulation.at(SECOND, move || paused.pause(5 * SECOND));
    simulation.run_while(|| program.is_running());
    let longest = program.results().pop().flatten().unwrap().unwrap();
    assert!(longest > 4 * SECOND && longest < 6 * SECOND, "{longest:?}");
}

#[test]
fn wall_clocks_jump_and_clocks_drift_while_monotonic_time_goes_on() {
    let simulation = Simulation::new(SimConfig::seed(2));
    let host = simulation.host(HostConfig::new("host"));
    let program = host.start(1, |rt| async move {
        let (start, wall) = (rt.now(), rt.unix_time());
        rt.sleep(100 * SECOND).await;
        let (first, first_wall) = (rt.now() - start, rt.unix_time());
        rt.sleep(100 * SECOND).await;
        (wall, first, first_wall, rt.now() - start)
    });
    simulation.run_until(50 * SECOND);
    simulation.universe().jump_clock(host.id(), -3_600_000_000_000);
    // Half as fast for the second hundred seconds and what is left of the first.
    simulation.universe().drift_clock(host.id(), -500_000);
    let outcome = simulation.run_to_end();
    let (wall, first, first_wall, both) = program.results().pop().flatten().unwrap().unwrap();
    assert!(first >= 100 * SECOND && first < 101 * SECOND, "{first:?}");
    assert!(first_wall < wall, "an hour back");
    assert!(both >= 200 * SECOND && both < 201 * SECOND, "{both:?}");
    assert!(outcome.time >= 349 * SECOND && outcome.time < 352 * SECOND, "{outcome}");
}

#[test]
fn a_host_may_crash_itself_and_stop_in_order() {
    let simulation = Simulation::new(SimConfig::seed(2));
    let host = simulation.host(HostConfig::new("host"));
    let own = host.clone();
    let program = host.start(1, move |rt| {
        let own = own.clone();
        async move {
            rt.sleep(SECOND).await;
            own.crash();
            rt.sleep(SECOND).await;
        }
    });
    assert!(simulation.run_to_end().is_done());
    assert_eq!(program.results(), [None]);
    let program = host.start(1, |rt| async move { rt.until_stopping(std::future::pending::<()>()).await });
    simulation.run_for(SECOND);
    assert!(program.is_running());
    host.stop();
    assert!(simulation.run_to_end().is_done());
    assert_eq!(program.results(), [Some(Ok(None))]);
}

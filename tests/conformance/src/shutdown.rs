//! Stop, drain, and nothing leaked.

use crate::harness::{
    CORES, Guards, KNOWN, Spawn, directory, everywhere, in_own_process, loopback, patterned, run, say,
};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use shroud_runtime::net::{DatagramExt, ListenerExt};
use shroud_runtime::task::Tree;
use shroud_runtime::{
    Backend, BlockFile, CancellationToken, Config, ConnectOptions, Datagram, DatagramOptions, ListenOptions,
    Listener, OpenOptions, Runtime, RuntimeExt, TaskError,
};
use std::future::pending;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// A stop that comes from outside is seen by all shards, and what is under way may end in its own time.
pub fn a_stop_is_seen_and_work_may_finish<B: Backend>(backend: &B) {
    let stop = CancellationToken::new();
    let config =
        Config { stop: stop.clone(), drain: Duration::from_secs(3600), ..Config::default() }.cores(CORES);
    let (ready, shards) = mpsc::channel();
    let stopper = thread::spawn(move || {
        // Once all shards have started: each tells how many there are.
        let count = shards.recv().expect("a shard starts");
        for _ in 1..count {
            shards.recv().expect("a shard starts");
        }
        stop.cancel();
    });
    let results = run(backend, &config, move |rt| {
        let ready = ready.clone();
        async move {
            assert!(!rt.stopping().is_cancelled());
            ready.send(rt.shard().count).expect("the thread waits");
            assert_eq!(rt.until_stopping(pending::<()>()).await, None);
            assert!(rt.stopping().is_cancelled());
            // Work in progress: its tasks and timers go on.
            let runtime = rt.clone();
            let work = rt.start("work", async move { runtime.sleep(Duration::from_millis(20)).await });
            assert_eq!(work.await, Ok(()));
            "finished"
        }
    });
    assert!(results.iter().all(|result| *result == Ok("finished")));
    stopper.join().expect("the thread ends");
}

/// A main that does not heed the stop is cancelled, not before the drain deadline.
pub fn the_drain_deadline_cancels_main<B: Backend>(backend: &B) {
    /// Tells the time at which it goes, by the backend's own clock.
    struct TellsTime<R: Runtime>(R, mpsc::Sender<Instant>);
    impl<R: Runtime> Drop for TellsTime<R> {
        fn drop(&mut self) {
            let _ = self.1.send(self.0.now());
        }
    }

    let drain = Duration::from_millis(30);
    let config = Config { drain, ..Config::default() }.cores(CORES);
    let guards = Guards::default();
    let (asked, asked_at) = mpsc::channel();
    let (ended, ended_at) = mpsc::channel();
    let held = guards.clone();
    let results = run(backend, &config, move |rt| {
        let (guard, below) = (held.guard(), held.guard());
        let (asked, ended) = (asked.clone(), ended.clone());
        async move {
            rt.start("deaf, too", below.forever::<()>()).detach();
            let _tells = TellsTime(rt.clone(), ended);
            if rt.shard().index == 0 {
                rt.sleep(Duration::from_millis(5)).await;
                let _ = asked.send(rt.now());
                rt.stopping().cancel();
            }
            guard.forever::<()>().await;
        }
    });
    assert!(results.iter().all(|result| *result == Err(TaskError::Cancelled)));
    let asked = asked_at.try_recv().expect("the stop was asked for");
    let ended: Vec<_> = ended_at.try_iter().collect();
    assert_eq!(ended.len(), results.len());
    assert!(ended.iter().all(|ended| *ended >= asked + drain));
    assert_eq!(guards.live(), 0);
}

/// When main has returned, what it left is cancelled and has ended before the node is gone.
pub fn tasks_left_by_main_are_ended<B: Backend>(backend: &B) {
    let guards = Guards::default();
    let held = guards.clone();
    let trees = everywhere(backend, move |rt| {
        let held = held.clone();
        async move {
            for _ in 0..100 {
                let (runtime, guard) = (rt.clone(), held.guard());
                rt.start("left", async move {
                    let _guard = guard;
                    loop {
                        runtime.sleep(Duration::from_micros(100)).await;
                    }
                })
                .detach();
            }
            rt.sleep(Duration::from_millis(2)).await;
            Arc::clone(rt.tree())
        }
    });
    assert_eq!(guards.live(), 0);
    assert_eq!(trees.iter().map(|tree| tree.live()).sum::<usize>(), 0);
}

/// A node that is taken down in the midst of everything leaves no task, no descriptor and no thread of a shard.
///
/// One exception, said aloud: glommio 0.9.0 never drops the reference that each task holds to its executor's notifier
/// (`task/raw.rs`, `destroy`), so each start of an executor costs one eventfd, and no more than that is let pass.
pub fn nothing_is_leaked_when_busy<B: Backend>(backend: &B) {
    const RUNS: usize = 5;
    in_own_process(&[], || {
        let once = || {
            let guards = Guards::default();
            let held = guards.clone();
            let trees: Vec<Arc<Tree>> = everywhere(backend, move |rt| busy(rt, held.clone()));
            assert_eq!(guards.live(), 0, "bodies were dropped");
            assert_eq!(trees.iter().map(|tree| tree.live()).sum::<usize>(), 0, "{}", trees[0].dump());
        };
        // What is made once a process (a shared reactor, a pool of blocking threads) is no leak.
        once();
        settle(shard_threads, &Vec::new());
        let mut expected = descriptors();
        for _ in 0..RUNS {
            once();
        }
        if backend.name() == "glommio" {
            let starts = RUNS * CORES;
            say(&format!(
                "{KNOWN}glommio 0.9.0 leaks an eventfd at each start of an executor: {starts} let pass"
            ));
            expected.extend(vec!["anon_inode:[eventfd]".to_owned(); starts]);
            expected.sort_unstable();
        }
        settle(descriptors, &expected);
        settle(shard_threads, &Vec::new());
    });
}

/// Waits until `look` sees what is expected: a job on a blocking thread ends, and an exited thread goes from the list,
/// a moment after the node.
fn settle<T: PartialEq + std::fmt::Debug>(look: impl Fn() -> T, expected: &T) {
    const LOOKS: u32 = 1000;
    for _ in 0..LOOKS {
        if look() == *expected {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(look(), *expected);
}

/// What the descriptors of this process stand for, sorted; numbers of sockets and the like left out.
fn descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("descriptors are listed");
    let mut kinds: Vec<_> = entries
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().replace(|c: char| c.is_ascii_digit(), ""))
        .collect();
    kinds.sort_unstable();
    kinds
}

/// The names of the threads that belong to shards.
fn shard_threads() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/task").expect("threads are listed");
    let mut names: Vec<_> = entries
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("shroud-"))
        .collect();
    names.sort_unstable();
    names
}

/// Starts everything there is, and returns in the midst of it.
async fn busy<R: Runtime>(rt: R, guards: Guards) -> Arc<Tree> {
    let directory = Arc::new(directory(&rt).await.0);
    let mut listener = rt.listen(loopback(), ListenOptions::default()).await.expect("it listens");
    let address = listener.local_addr().expect("it is bound");
    let (runtime, guard, held) = (rt.clone(), guards.guard(), guards.clone());
    rt.start("accepts", async move {
        let _guard = guard;
        while let Ok((mut stream, _)) = listener.accept().await {
            let guard = held.guard();
            runtime
                .start("echoes", async move {
                    let _guard = guard;
                    let mut buffer = vec![0; 1000];
                    while let Ok(length) = stream.read(&mut buffer).await
                        && length > 0
                        && stream.write_all(&buffer[..length]).await.is_ok()
                    {}
                })
                .detach();
        }
    })
    .detach();
    for number in 0..20_u64 {
        let (runtime, guard) = (rt.clone(), guards.guard());
        rt.start("asks", async move {
            let _guard = guard;
            let mut stream = runtime.connect(address, ConnectOptions::default()).await.expect("it connects");
            let question = patterned(number, 0, 3000);
            let mut answer = vec![0; if number % 2 == 0 { 3000 } else { 5000 }];
            while stream.write_all(&question).await.is_ok() && stream.read_exact(&mut answer).await.is_ok() {}
        })
        .detach();
        let (runtime, guard) = (rt.clone(), guards.guard());
        rt.start("sends to itself", async move {
            let _guard = guard;
            let socket = runtime.bind(loopback(), DatagramOptions::default()).await.expect("it binds");
            let address = socket.local_addr().expect("it is bound");
            let mut buffer = vec![0; 2000];
            while socket.send_to(&[1; 1000], address).await.is_ok() && socket.recv(&mut buffer).await.is_ok()
            {
            }
        })
        .detach();
        let (runtime, guard, path) = (rt.clone(), guards.guard(), file_path(&directory, number));
        let keep = Arc::clone(&directory);
        rt.start("writes", async move {
            let _guard = (guard, keep);
            let file = runtime.open(&path, OpenOptions::creating()).await.expect("it is created");
            let mut buffer = vec![7; 5000];
            for offset in (0..).step_by(5000) {
                let lent = file.write_at(buffer, offset).await;
                lent.result.expect("it writes");
                file.sync_data().await.expect("it syncs");
                buffer = file.read_at(lent.buffer, offset / 2).await.buffer;
            }
        })
        .detach();
        let (runtime, guard) = (rt.clone(), guards.guard());
        rt.start("offloads", async move {
            let _guard = guard;
            while runtime.offload(|| thread::sleep(Duration::from_millis(1))).await.is_ok() {
                runtime.sleep(Duration::from_micros(300)).await;
            }
        })
        .detach();
    }
    // Held by nobody but a task: goes with it.
    let (last, guard) = (Mutex::new(Some(directory)), guards.guard());
    rt.start("holds", async move {
        let _held = (last, guard);
        pending::<()>().await;
    })
    .detach();
    rt.sleep(Duration::from_millis(30)).await;
    Arc::clone(rt.tree())
}

fn file_path(directory: &tempfile::TempDir, number: u64) -> PathBuf {
    directory.path().join(number.to_string())
}

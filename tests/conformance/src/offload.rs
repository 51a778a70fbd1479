//! Blocking jobs.

use crate::harness::{Flag, SIMULATED, Spawn, everywhere, skipped, until};
use futures_lite::future::poll_once;
use shroud_runtime::flow::{join, join_all};
use shroud_runtime::{Backend, Lost, Runtime, RuntimeExt};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

/// What the job returns is what the future gives.
pub fn a_job_gives_its_result<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        assert_eq!(rt.offload(|| "result".to_owned()).await, Ok("result".to_owned()));
        let large = rt.offload(|| vec![7_u8; 1 << 20]).await.expect("it runs");
        assert_eq!(large.len(), 1 << 20);
    });
}

/// A job that panics is lost, and its thread goes on.
pub fn a_panicking_job_is_lost<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        for number in 0..20 {
            let lost = rt.offload(move || -> u8 { panic!("expected panic of job {number}") }).await;
            assert_eq!(lost, Err(Lost));
            assert_eq!(rt.offload(|| 1).await, Ok(1));
        }
    });
}

/// Jobs run side by side, on other threads, while the shard goes on.
pub fn jobs_run_in_parallel_and_off_the_shard<B: Backend>(backend: &B) {
    const JOBS: usize = 4;
    if backend.name() == SIMULATED {
        return skipped("simulated jobs run one after the other, on the one thread there is");
    }
    everywhere(backend, |rt| async move {
        let here = thread::current().id();
        // Each waits for all others: they end only when all run at once.
        let barrier = Arc::new(Barrier::new(JOBS));
        let jobs = join_all((0..JOBS).map(|_| {
            let barrier = Arc::clone(&barrier);
            rt.offload(move || {
                barrier.wait();
                thread::current().id()
            })
        }));
        for thread in jobs.await {
            assert_ne!(thread, Ok(here));
        }
        let stop = Flag::default();
        let stopped = stop.clone();
        let blocking = rt.offload(move || {
            while !stopped.is_raised() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        let beside = async {
            for _ in 0..3 {
                rt.sleep(Duration::from_millis(1)).await;
            }
            stop.raise();
        };
        assert_eq!(join(blocking, beside).await, (Ok(()), ()));
    });
}

/// A thousand jobs from many tasks all give their own result.
pub fn many_jobs_all_end<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let tasks: Vec<_> = (0..20_u64)
            .map(|task| {
                let runtime = rt.clone();
                rt.start("offloads", async move {
                    let jobs = (0..50).map(|job| runtime.offload(move || task * 50 + job));
                    join_all(jobs).await.into_iter().map(|result| result.expect("it runs")).sum::<u64>()
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("the task ends");
        }
        assert_eq!(sum, 999 * 1000 / 2);
    });
}

/// A job that has started runs to its end without anyone waiting.
pub fn a_job_whose_future_was_dropped_runs_on<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let done = Flag::default();
        let (raise, (started, starting)) = (done.clone(), shroud_runtime::sync::oneshot::channel());
        let mut job = Box::pin(rt.offload(move || {
            let _ = started.send(());
            thread::sleep(Duration::from_millis(5));
            raise.raise();
        }));
        let _ = poll_once(&mut job).await;
        starting.await.expect("it starts");
        drop(job);
        until(|| done.is_raised()).await;
    });
}

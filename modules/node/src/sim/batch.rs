//! Many runs, on all cores: one simulation a thread.

use super::run::{Options, Report, run};
use super::scenario::Scenario;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// One seed of one scenario.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Which scenario.
    pub scenario: &'static Scenario,
    /// Which seed.
    pub seed: u64,
    /// Whether it is played twice, to see that the hashes agree.
    pub twice: bool,
}

/// What came of a job.
#[derive(Clone, Debug)]
pub struct Played {
    /// The (first) run.
    pub report: Report,
    /// The hash of the second run, where it differs.
    pub diverged: Option<String>,
}

impl Played {
    /// Whether every promise was kept and both runs were the same.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.report.passed() && self.diverged.is_none()
    }
}

/// Plays all jobs on so many threads, and gives the results to `take` in the order of the jobs, until it says `false`.
pub fn play(jobs: &[Job], threads: NonZeroUsize, mut take: impl FnMut(Played) -> bool) {
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.get().min(jobs.len().max(1)) {
            let (sender, next, over) = (sender.clone(), &next, &over);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(place).filter(|_| !over.load(Ordering::Relaxed)) else { return };
                    if sender.send((place, one(job))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = std::collections::BTreeMap::new();
        let mut due = 0;
        for (place, played) in receiver {
            early.insert(place, played);
            while let Some(played) = early.remove(&due) {
                due += 1;
                if !over.load(Ordering::Relaxed) && !take(played) {
                    over.store(true, Ordering::Relaxed);
                }
            }
        }
    });
}

fn one(job: &Job) -> Played {
    let options = Options { seed: job.seed, ..Options::default() };
    let report = run(job.scenario, &options);
    let second = job.twice.then(|| run(job.scenario, &options).hash);
    let diverged = second.filter(|hash| *hash != report.hash);
    Played { report, diverged }
}

//! Whether threads are free: how long a task that is ready waits until it is polled, and how long single polls take.
//!
//! A task takes a short nap, then makes itself ready again and measures the time to its next poll. That time is what
//! stands before any ready task of the shard: all the polls queued ahead of it, and nothing of the timer's own accuracy. Under a
//! load that saturates the thread it is mostly other requests' turns. Whether one task keeps the thread from all others
//! is told by the other half: the durations of single polls, which the task trees count.

use shroud_runtime::durations::{DurationCounts, Durations};
use shroud_runtime::task::{BLOCKING_POLL, LONG_POLL, PollDurations};
use shroud_runtime::{Runtime, RuntimeExt};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

/// The nap between two samples: about 200 samples a second, at a cost that does not show.
const NAP: Duration = Duration::from_millis(5);
/// Kinds of task named in a summary at most: those with the longest polls.
const MAX_TASKS: usize = 8;

/// The probe of all shards of a node.
#[derive(Debug, Default)]
pub struct Probe {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    delays: Vec<Arc<Durations>>,
}

/// What a node's threads were busy with, since its start or the last reset.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ProbeSummary {
    /// Since when, in seconds.
    pub seconds: f64,
    /// Threads that poll tasks.
    pub threads: usize,
    /// How long ready tasks waited to be polled.
    pub delay: DelaySummary,
    /// How long single polls took.
    pub polls: PollSummary,
}

/// How long ready tasks waited, in microseconds.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct DelaySummary {
    /// Samples taken.
    pub samples: u64,
    /// Median (upper edge of its bucket).
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// The histogram: upper edge and number of samples of each bucket that holds any.
    pub buckets: Vec<(f64, u64)>,
}

/// How long single polls took, in microseconds of wall time: when the kernel gave the processor to another thread in the middle
/// of a poll, that time is in it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct PollSummary {
    /// All polls.
    pub polls: u64,
    /// Shorter polls are not told apart: a percentile of this much means "this or less".
    pub at_most_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// The task with the longest.
    pub longest: Option<&'static str>,
    /// Polls of more than 1 ms: they block their thread.
    pub blocking: u64,
    /// The share of all polls that block, 0 to 1.
    pub blocking_share: f64,
    /// What blocking polls took beyond 1 ms, summed. Over the time of all threads: the chance to wait that long at any moment.
    pub excess_us: f64,
    /// The histogram of polls of 64 us and more: upper edge and number of polls of each bucket that holds any.
    pub buckets: Vec<(f64, u64)>,
    /// The tasks with the longest polls.
    pub tasks: Vec<TaskPolls>,
}

/// The long polls of one kind of task.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct TaskPolls {
    /// The tasks' name.
    pub name: &'static str,
    /// The tasks' class.
    pub class: &'static str,
    /// Polls of 64 us and more.
    pub long: u64,
    /// Polls of more than 1 ms.
    pub blocking: u64,
    /// The longest, in microseconds.
    pub max_us: f64,
}

impl Probe {
    /// Samples the delay of this shard until it is dropped.
    pub fn run<R: Runtime>(&self, runtime: R) -> impl Future<Output = ()> + Send + use<R> {
        let delay = Arc::new(Durations::default());
        let mut state = self.state();
        state.since.get_or_insert_with(|| runtime.now());
        state.delays.push(Arc::clone(&delay));
        async move {
            loop {
                runtime.sleep(NAP).await;
                let ready = runtime.now();
                next_poll().await;
                delay.record(runtime.now().saturating_duration_since(ready));
            }
        }
    }

    /// What was seen on all shards.
    #[must_use]
    pub fn summary<R: Runtime>(&self, runtime: &R) -> ProbeSummary {
        let (since, delays) = {
            let state = self.state();
            (state.since, state.delays.clone())
        };
        let mut delay = DurationCounts::default();
        delays.iter().for_each(|shard| delay.add(&shard.counts()));
        let mut polls = PollDurations::default();
        let trees = runtime.trees();
        trees.iter().for_each(|tree| polls.add(&tree.polls()));
        let seconds = since
            .map_or(Duration::ZERO, |since| runtime.now().saturating_duration_since(since))
            .as_secs_f64();
        ProbeSummary {
            seconds,
            threads: trees.iter().map(|tree| tree.shard().workers.max(1)).sum(),
            delay: DelaySummary::new(&delay),
            polls: PollSummary::new(&polls),
        }
    }

    /// Forgets what was seen, to measure one phase of a load.
    pub fn reset<R: Runtime>(&self, runtime: &R) {
        let mut state = self.state();
        state.since = Some(runtime.now());
        state.delays.iter().for_each(|delay| delay.reset());
        runtime.trees().iter().for_each(|tree| tree.reset_polls());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DelaySummary {
    fn new(delay: &DurationCounts) -> Self {
        let at = |fraction| micros(delay.percentile(fraction));
        Self {
            samples: delay.count(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: micros(delay.longest()),
            buckets: buckets(delay),
        }
    }
}

impl PollSummary {
    fn new(polls: &PollDurations) -> Self {
        debug_assert_eq!(BLOCKING_POLL, Duration::from_millis(1), "the fields' documentation says so");
        let at = |fraction| micros(polls.percentile(fraction));
        let tasks = polls.kinds.iter().take(MAX_TASKS).map(|kind| TaskPolls {
            name: kind.name,
            class: kind.class.as_str(),
            long: kind.long,
            blocking: kind.blocking,
            max_us: micros(kind.longest),
        });
        Self {
            polls: polls.polls,
            at_most_us: micros(LONG_POLL),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
            longest: polls.longest().map(|kind| kind.name),
            blocking: polls.blocking(),
            blocking_share: polls.blocking() as f64 / polls.polls.max(1) as f64,
            excess_us: micros(polls.excess()),
            buckets: buckets(&polls.long),
            tasks: tasks.collect(),
        }
    }
}

/// Ready again at once, polled after whatever is ready before it.
async fn next_poll() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

fn buckets(counts: &DurationCounts) -> Vec<(f64, u64)> {
    counts.buckets().map(|(edge, count)| (micros(edge), count)).collect()
}

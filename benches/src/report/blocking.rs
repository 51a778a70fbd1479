//! Whether any thread was blocked: one poll that held it for more than a millisecond.

use super::model::{Delay, Polls, Report, Seen};
use crate::workload::Purpose;
use serde::{Deserialize, Serialize};

/// Nothing may hold a thread for longer, in microseconds, at this percentile.
pub(crate) const BAR_US: f64 = 1_000.0;
/// The percentile of the bar.
const BAR_FRACTION: f64 = 0.999;

/// What the threads of a backend did during the phases of one purpose, all runs together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blocking {
    /// Which phases.
    pub purpose: Purpose,
    /// Samples of the scheduling delay.
    pub samples: u64,
    /// How long ready tasks waited to be polled: median, in microseconds.
    pub delay_p50_us: f64,
    /// Its 99th percentile.
    pub delay_p99_us: f64,
    /// Its 99.9th percentile.
    pub delay_p999_us: f64,
    /// The longest delay.
    pub delay_max_us: f64,
    /// Polls.
    pub polls: u64,
    /// The 99.9th percentile of their durations, in microseconds.
    pub poll_p999_us: f64,
    /// The longest poll, in microseconds.
    pub longest_us: f64,
    /// Whose it was.
    pub longest: Option<String>,
    /// Polls of more than 1 ms.
    pub blocking: u64,
    /// Their share of all polls, 0 to 1.
    pub blocking_share: f64,
    /// The chance that whatever becomes ready at some moment waits for more than 1 ms for the poll in progress alone, 0 to 1.
    pub blocked_share: f64,
    /// The share of time for which the threads were ready to run and the kernel ran others, 0 to 1. It lengthens polls: where
    /// it is of the size of `blocked_share`, the machine blocked the threads and not a task.
    pub off_cpu_share: f64,
}

impl Blocking {
    /// Sums up what the probe saw in the runs of a backend.
    pub(super) fn of(report: &Report, backend: &str, purpose: Purpose) -> Option<Self> {
        let probes: Vec<_> = super::summary::runs(report, backend)
            .flat_map(|slot| &slot.probes)
            .filter(|probe| probe.purpose == purpose)
            .collect();
        let seen: Vec<&Seen> = probes.iter().map(|probe| &probe.seen).collect();
        seen.first()?;
        let delays = || seen.iter().map(|seen| &seen.delay);
        let polls = || seen.iter().map(|seen| &seen.polls);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let longest = polls().max_by(|a, b| a.max_us.total_cmp(&b.max_us))?;
        let (samples, count): (u64, u64) =
            (delays().map(|delay| delay.samples).sum(), polls().map(|polls| polls.polls).sum());
        let delay_max_us = most(&mut delays().map(|delay| delay.max_us));
        let delay =
            |fraction| percentile(&of_delays(delays()), samples, fraction).unwrap_or(0.0).min(delay_max_us);
        let poll = percentile(&of_polls(polls()), count, BAR_FRACTION).unwrap_or(longest.at_most_us);
        let blocking = polls().map(|polls| polls.blocking).sum();
        let excess: f64 = polls().map(|polls| polls.excess_us).sum();
        let time: f64 = seen.iter().map(|seen| seen.seconds * seen.threads as f64 * 1e6).sum();
        Some(Self {
            purpose,
            samples,
            delay_p50_us: delay(0.5),
            delay_p99_us: delay(0.99),
            delay_p999_us: delay(0.999),
            delay_max_us,
            polls: count,
            poll_p999_us: poll.min(longest.max_us.max(longest.at_most_us)),
            longest_us: longest.max_us,
            longest: longest.longest.clone(),
            blocking,
            blocking_share: blocking as f64 / count.max(1) as f64,
            blocked_share: excess / time.max(1.0),
            off_cpu_share: probes.iter().map(|probe| probe.off_cpu_us).sum::<f64>() / time.max(1.0),
        })
    }

    /// Whether the bar is met: at most one poll in a thousand holds its thread for more than 1 ms. What those few held, as a
    /// share of time, is reported beside it and not judged: the kernel's part of it is no task's doing.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.poll_p999_us <= BAR_US
    }
}

/// The verdict over all backends, in one line, and whether it is good.
pub(crate) fn verdict(report: &Report) -> Option<(String, bool)> {
    let all = || report.summary.backends.iter().filter(|backend| !backend.blocking.is_empty());
    let blocked: Vec<&str> = all()
        .filter(|backend| backend.blocking.iter().any(|blocking| !blocking.is_free()))
        .map(|backend| backend.backend.as_str())
        .collect();
    all().next()?;
    let most = |share: fn(&Blocking) -> f64| {
        let shares = all().flat_map(|backend| &backend.blocking).map(share);
        shares.fold(0.0, f64::max) * 100.0
    };
    let rest = format!(
        "longer polls: up to {:.2}% of time, off CPU: up to {:.1}%",
        most(|seen| seen.blocked_share),
        most(|seen| seen.off_cpu_share)
    );
    Some(match blocked.as_slice() {
        [] => (format!("no poll held a thread for more than 1 ms at p99.9 ({rest})"), true),
        names => (format!("blocked for more than 1 ms at p99.9: {} ({rest})", names.join(", ")), false),
    })
}

fn of_delays<'a>(delays: impl Iterator<Item = &'a Delay>) -> Vec<(f64, u64)> {
    sorted(delays.flat_map(|delay| delay.buckets.iter().copied()).collect())
}

fn of_polls<'a>(polls: impl Iterator<Item = &'a Polls>) -> Vec<(f64, u64)> {
    sorted(polls.flat_map(|polls| polls.buckets.iter().copied()).collect())
}

fn sorted(mut buckets: Vec<(f64, u64)>) -> Vec<(f64, u64)> {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets
}

/// A percentile of `total` samples of which the longest are in `buckets`; `None` when it is one of the others.
fn percentile(buckets: &[(f64, u64)], total: u64, fraction: f64) -> Option<f64> {
    let rank = (total as f64 * fraction).ceil().max(1.0) as u64;
    let mut below = total.saturating_sub(buckets.iter().map(|bucket| bucket.1).sum());
    if rank <= below {
        return None;
    }
    let found = buckets.iter().find(|bucket| {
        below += bucket.1;
        below >= rank
    });
    found.or(buckets.last()).map(|bucket| bucket.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn percentiles_count_what_was_too_short_to_record() {
        let buckets = [(100.0, 5), (2_000.0, 1)];
        assert_eq!(percentile(&buckets, 10_000, 0.999), None);
        assert_eq!(percentile(&buckets, 5_000, 0.999), Some(100.0));
        assert_eq!(percentile(&buckets, 900, 0.999), Some(2_000.0));
        assert_eq!(percentile(&[], 0, 0.999), None);
    }

    #[test]
    fn runs_are_taken_together_and_judged() {
        let report = sample();
        let at_capacity = &report.summary.backends[0].blocking[0];
        assert_eq!(
            (at_capacity.purpose, at_capacity.polls, at_capacity.blocking),
            (Purpose::Capacity, 200_000, 2)
        );
        assert_eq!((at_capacity.poll_p999_us, at_capacity.longest_us), (73.7, 1_400.0));
        assert_eq!(at_capacity.longest.as_deref(), Some("ledger-writer"));
        assert!((at_capacity.blocked_share - 0.0002).abs() < 1e-9, "{at_capacity:?}");
        assert!(at_capacity.is_free());
        assert_eq!(verdict(&report).map(|verdict| verdict.1), Some(true));

        let mut held = at_capacity.clone();
        held.poll_p999_us = 1_200.0;
        assert!(!held.is_free(), "one poll in a thousand");
        let mut report = report;
        report.summary.backends[1].blocking[0] = held;
        let (line, good) = verdict(&report).unwrap();
        assert!(
            !good
                && line.ends_with(
                    "p99.9: tokio+async-io (longer polls: up to 0.02% of time, off CPU: up to 5.0%)"
                ),
            "{line}"
        );
    }
}

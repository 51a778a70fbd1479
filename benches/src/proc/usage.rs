//! One process's processor time, memory, threads and context switches.

use super::parse;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// By how much the tick counter may lag the precise one: it counts in steps of a tick in each of user and system mode.
const TICK_SLACK: u64 = 2;

/// A process that is watched.
#[derive(Debug, Clone)]
pub struct Process {
    root: PathBuf,
    nanos_per_tick: u64,
}

/// Counters of a process since its start. Threads that have ended count in the ticks, not in the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of the live threads, to the nanosecond.
    pub live_nanos: u64,
    /// Time in user mode, to the clock tick.
    pub user_nanos: u64,
    /// Time in the kernel, to the clock tick.
    pub system_nanos: u64,
    /// Switches because a thread waited.
    pub voluntary_switches: u64,
    /// Switches because a thread was preempted.
    pub involuntary_switches: u64,
    /// Live threads.
    pub threads: u64,
}

/// What a process used between two readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageDelta {
    /// Processor time in all, as precisely as known.
    pub cpu_nanos: u64,
    /// The share of it spent in user mode, 0 to 1 (sampled by the kernel at ticks).
    pub user_share: f64,
    /// Context switches, voluntary.
    pub voluntary_switches: u64,
    /// Context switches, involuntary.
    pub involuntary_switches: u64,
}

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident.
    pub rss: u64,
    /// Proportional share: shared pages are split among their users.
    pub pss: u64,
    /// The most that was ever resident.
    pub peak_rss: u64,
}

impl Process {
    /// The process with this id.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn new(pid: u32) -> io::Result<Self> {
        let root = Path::new("/proc").join(pid.to_string());
        fs::metadata(&root)?;
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        Ok(Self { root, nanos_per_tick: 1_000_000_000 / ticks })
    }

    /// Its counters now.
    ///
    /// # Errors
    /// When it has ended, or `/proc` cannot be read.
    pub fn usage(&self) -> io::Result<Usage> {
        let stat = fs::read_to_string(self.root.join("stat"))?;
        let (user, system) = parse::stat_ticks(&stat).ok_or_else(|| unreadable("stat"))?;
        let mut usage = Usage {
            user_nanos: user * self.nanos_per_tick,
            system_nanos: system * self.nanos_per_tick,
            ..Usage::default()
        };
        for task in fs::read_dir(self.root.join("task"))? {
            let task = task?.path();
            // A thread may end while it is looked at.
            let (Ok(schedstat), Ok(status)) =
                (fs::read_to_string(task.join("schedstat")), fs::read_to_string(task.join("status")))
            else {
                continue;
            };
            usage.threads += 1;
            usage.live_nanos += parse::schedstat_nanos(&schedstat).ok_or_else(|| unreadable("schedstat"))?;
            usage.voluntary_switches += parse::field(&status, "voluntary_ctxt_switches").unwrap_or(0);
            usage.involuntary_switches += parse::field(&status, "nonvoluntary_ctxt_switches").unwrap_or(0);
        }
        Ok(usage)
    }

    /// How long the threads that `chosen` names were ready to run while the kernel ran others, since they began.
    ///
    /// # Errors
    /// When it has ended, or `/proc` cannot be read.
    pub fn kept_waiting(&self, chosen: impl Fn(&str) -> bool) -> io::Result<Duration> {
        let mut nanos = 0;
        for task in fs::read_dir(self.root.join("task"))? {
            let task = task?.path();
            // A thread may end while it is looked at.
            let (Ok(name), Ok(schedstat)) =
                (fs::read_to_string(task.join("comm")), fs::read_to_string(task.join("schedstat")))
            else {
                continue;
            };
            if chosen(name.trim_end()) {
                nanos += parse::schedstat_wait_nanos(&schedstat).ok_or_else(|| unreadable("schedstat"))?;
            }
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Its memory now.
    ///
    /// # Errors
    /// When it has ended, or `/proc` cannot be read.
    pub fn memory(&self) -> io::Result<Memory> {
        let rollup = fs::read_to_string(self.root.join("smaps_rollup"))?;
        let status = fs::read_to_string(self.root.join("status"))?;
        let bytes = |text: &str, key: &str| {
            parse::field(text, key).map(|kib| kib * 1024).ok_or_else(|| unreadable(key))
        };
        Ok(Memory {
            rss: bytes(&rollup, "Rss")?,
            pss: bytes(&rollup, "Pss")?,
            peak_rss: bytes(&status, "VmHWM")?,
        })
    }

    /// How many descriptors it has open.
    ///
    /// # Errors
    /// When it has ended, or belongs to another user.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.root.join("fd"))?.count())
    }

    /// What was used from one reading to the next.
    #[must_use]
    pub fn between(&self, before: &Usage, after: &Usage) -> UsageDelta {
        let user = after.user_nanos.saturating_sub(before.user_nanos);
        let system = after.system_nanos.saturating_sub(before.system_nanos);
        let ticks = user + system;
        let live = after.live_nanos.saturating_sub(before.live_nanos);
        // Threads that ended in between are missing from the precise sum; then the ticks are clearly more.
        let cpu_nanos = if ticks > live + TICK_SLACK * self.nanos_per_tick { ticks } else { live };
        UsageDelta {
            cpu_nanos,
            user_share: if ticks == 0 { 0.5 } else { user as f64 / ticks as f64 },
            voluntary_switches: after.voluntary_switches.saturating_sub(before.voluntary_switches),
            involuntary_switches: after.involuntary_switches.saturating_sub(before.involuntary_switches),
        }
    }
}

impl UsageDelta {
    /// Both together, shares weighed by time.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let cpu_nanos = self.cpu_nanos + other.cpu_nanos;
        let user = self.user_share * self.cpu_nanos as f64 + other.user_share * other.cpu_nanos as f64;
        Self {
            cpu_nanos,
            user_share: if cpu_nanos == 0 { 0.5 } else { user / cpu_nanos as f64 },
            voluntary_switches: self.voluntary_switches + other.voluntary_switches,
            involuntary_switches: self.involuntary_switches + other.involuntary_switches,
        }
    }
}

/// Processor time of the calling thread.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn thread_cpu_nanos() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    parse::schedstat_nanos(&text).ok_or_else(|| unreadable("schedstat"))
}

fn unreadable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} of /proc is not as proc(5) describes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let process = Process::new(std::process::id()).unwrap();
        let (before, thread) = (process.usage().unwrap(), thread_cpu_nanos().unwrap());
        let sum = std::hint::black_box((0..20_000_000_u64).fold(0, |sum, n| sum ^ n.wrapping_mul(sum | 1)));
        assert_ne!(sum, 1);
        let used = process.between(&before, &process.usage().unwrap());
        assert!(used.cpu_nanos > 1_000_000, "{used:?}");
        assert!(thread_cpu_nanos().unwrap() - thread > 1_000_000);
        let memory = process.memory().unwrap();
        assert!(
            memory.pss > 0 && memory.rss >= memory.pss && memory.peak_rss >= memory.rss / 2,
            "{memory:?}"
        );
        assert!(process.descriptors().unwrap() >= 3);
        assert_eq!(process.kept_waiting(|name| name == "no such thread").unwrap(), Duration::ZERO);
        assert!(process.kept_waiting(|_| true).is_ok());
    }

    #[test]
    fn time_of_ended_threads_is_not_lost() {
        let process = Process { root: PathBuf::new(), nanos_per_tick: 10 };
        let before = Usage { live_nanos: 100, user_nanos: 100, ..Usage::default() };
        let after = Usage { live_nanos: 50, user_nanos: 160, system_nanos: 20, ..Usage::default() };
        let delta = process.between(&before, &after);
        assert_eq!(delta.cpu_nanos, 80);
        assert_eq!(delta.user_share, 0.75);
    }
}

//! The machine that results come from.

use super::parse;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;

/// What does not change while a comparison runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Kernel release and version.
    pub kernel: String,
    /// Processor model.
    pub cpu: String,
    /// Processors this process may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory: u64,
    /// Most descriptors a process may open.
    pub descriptor_limit: u64,
    /// Most memory a process may lock, in bytes (io_uring rings count in it); `None` when unlimited.
    pub locked_memory_limit: Option<u64>,
}

/// How busy the machine is besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineLoad {
    /// Load average over one minute.
    pub load: f64,
    /// Processor ticks so far, of all processors.
    pub total_ticks: u64,
    /// Ticks that the hypervisor gave to others.
    pub steal_ticks: u64,
}

impl Machine {
    /// Reads it; what the system does not tell is left empty.
    #[must_use]
    pub fn read() -> Self {
        use rustix::process::{Resource, getrlimit};
        let uname = rustix::system::uname();
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            kernel: format!("{} {}", uname.release().to_string_lossy(), uname.machine().to_string_lossy()),
            cpu: parse::cpuinfo(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned(),
            cores: crate::affinity::allowed().map_or(1, |cpus| cpus.len()),
            memory: parse::field(&read("/proc/meminfo"), "MemTotal").unwrap_or(0) * 1024,
            descriptor_limit: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            locked_memory_limit: getrlimit(Resource::Memlock).current,
        }
    }
}

impl MachineLoad {
    /// Reads it; what the system does not tell is zero.
    #[must_use]
    pub fn read() -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let (total_ticks, steal_ticks) = parse::total_and_steal(&stat).unwrap_or((0, 0));
        Self {
            load: load.split_ascii_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            total_ticks,
            steal_ticks,
        }
    }

    /// The share of all processor time since `before` that the hypervisor gave to others, 0 to 1.
    #[must_use]
    pub fn steal_since(&self, before: &Self) -> f64 {
        let total = self.total_ticks.saturating_sub(before.total_ticks);
        let steal = self.steal_ticks.saturating_sub(before.steal_ticks);
        if total == 0 { 0.0 } else { steal as f64 / total as f64 }
    }
}

/// Bytes of small objects that the kernel holds for everybody (`Slab` of `/proc/meminfo`): sockets, files, timers.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn slab_bytes() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kibibytes = parse::field(&text, "Slab");
    kibibytes.map(|kibibytes| kibibytes * 1024).ok_or_else(|| io::Error::other("no Slab in /proc/meminfo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_readable() {
        let machine = Machine::read();
        assert!(machine.cores >= 1 && machine.memory > 0 && !machine.kernel.is_empty(), "{machine:?}");
        let load = MachineLoad::read();
        assert!(load.total_ticks > 0 && slab_bytes().unwrap() > 0);
        assert_eq!(load.steal_since(&load), 0.0);
    }
}

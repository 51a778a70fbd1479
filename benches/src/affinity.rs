//! Which processor the calling thread may run on.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;

/// The processors that the calling thread may use, in order.
///
/// # Errors
/// As `sched_getaffinity(2)`.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// Holds the calling thread on some processors until it is dropped. Threads and processes started meanwhile inherit it.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

/// Keeps the calling thread on these processors.
///
/// # Errors
/// As `sched_setaffinity(2)`, for example when the machine does not have them.
pub fn pin(cpus: &[usize]) -> io::Result<Pinned> {
    let before = sched_getaffinity(None)?;
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(io::Error::other(format!(
                "processor {cpu} is beyond the limit of {}",
                CpuSet::MAX_CPU
            )));
        }
        set.set(cpu);
    }
    sched_setaffinity(None, &set)?;
    Ok(Pinned { before })
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // The set was in force before; should it no longer be allowed, staying where we are is harmless.
        let _ = sched_setaffinity(None, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_ends_with_its_guard() {
        std::thread::spawn(|| {
            let before = allowed().unwrap();
            let pinned = pin(&before[..1]).unwrap();
            assert_eq!(allowed().unwrap(), &before[..1]);
            drop(pinned);
            assert_eq!(allowed().unwrap(), before);
        })
        .join()
        .unwrap();
    }
}

//! The machine: names, wall clock, entropy, placement of threads.

use rustix::thread::{CpuSet, sched_setaffinity};
use shroud_runtime::Offload;
use shroud_runtime::compose::offload;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Resolves a host name by the system's resolver, on a blocking thread; a literal address at once.
///
/// # Errors
/// `NotFound` when the name has no address; otherwise as `getaddrinfo(3)`.
pub async fn lookup(pool: &dyn Offload, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    let found: Vec<_> =
        offload(pool, move || (name.as_str(), port).to_socket_addrs().map(Iterator::collect)).await??;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
    }
    Ok(found)
}

/// Wall-clock time since the Unix epoch; zero when the clock stands before it.
#[must_use]
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Fills `out` from the system's entropy source.
///
/// # Panics
/// When the system has no entropy source: keys made without one would be worse.
pub fn fill(out: &mut [u8]) {
    if let Err(error) = getrandom::fill(out) {
        panic!("the system gives no entropy: {error}");
    }
}

/// Lets the calling thread run on these CPUs only. Threads that it starts from now on inherit this.
///
/// # Errors
/// `InvalidInput` for a number beyond what the system can name; otherwise as `sched_setaffinity(2)`, so also when
/// none of the CPUs is there.
pub fn pin_thread(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("CPU {cpu} is beyond the limit of {}", CpuSet::MAX_CPU),
            ));
        }
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("pinning a thread to CPUs {cpus:?}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_to_a_cpu_that_is_not_there_is_an_error() {
        std::thread::spawn(|| {
            assert_eq!(pin_thread(&[CpuSet::MAX_CPU]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            let error = pin_thread(&[CpuSet::MAX_CPU - 1]).unwrap_err().to_string();
            assert!(error.contains("1023"), "{error}");
            let allowed = rustix::thread::sched_getaffinity(None).unwrap();
            let cpu = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).unwrap();
            pin_thread(&[cpu]).unwrap();
            assert_eq!(rustix::thread::sched_getaffinity(None).unwrap().count(), 1);
        })
        .join()
        .unwrap();
    }
}

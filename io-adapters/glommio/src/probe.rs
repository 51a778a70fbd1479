//! Whether io_uring works here, found out before glommio tries: glommio ends the process when it misses an operation.

use rustix::io::Errno;
use rustix::io_uring::{
    IoringOp, IoringRegisterOp, IoringSetupFlags, io_uring_params, io_uring_register, io_uring_setup,
};
use rustix::process::{Resource, getrlimit};
use shroud_io_readiness::udp;
use shroud_runtime::{Capabilities, Topology, Unavailable};
use std::io;
use std::os::fd::OwnedFd;

/// The oldest kernel that glommio supports.
const OLDEST_KERNEL: (u32, u32) = (5, 8);
/// glommio refuses to start below this limit on locked memory, in bytes.
const LEAST_LOCKED_MEMORY: u64 = 512 << 10;
/// Operations the kernel can be asked about in one go; the interface's limit.
const MAX_OPERATIONS: usize = 256;
/// Set in an operation's flags when the kernel supports it (`IO_URING_OP_SUPPORTED`).
const SUPPORTED: u64 = 1;

/// What glommio refuses to live without, and what this adapter uses of it.
const OPERATIONS: &[IoringOp] = &[
    IoringOp::Nop,
    IoringOp::Readv,
    IoringOp::Writev,
    IoringOp::Fsync,
    IoringOp::ReadFixed,
    IoringOp::WriteFixed,
    IoringOp::PollAdd,
    IoringOp::PollRemove,
    IoringOp::Sendmsg,
    IoringOp::Recvmsg,
    IoringOp::Timeout,
    IoringOp::TimeoutRemove,
    IoringOp::Accept,
    IoringOp::AsyncCancel,
    IoringOp::LinkTimeout,
    IoringOp::Connect,
    IoringOp::Fallocate,
    IoringOp::Openat,
    IoringOp::Close,
    IoringOp::Statx,
    IoringOp::Read,
    IoringOp::Write,
    IoringOp::Send,
    IoringOp::Recv,
];

/// Tries what glommio needs, without starting it: kernel version, locked memory, a tiny ring of each kind, operations.
///
/// # Errors
/// [`Unavailable`] with the first thing that is missing.
pub fn probe() -> Result<Capabilities, Unavailable> {
    check_kernel()?;
    check_locked_memory()?;
    make_ring(IoringSetupFlags::IOPOLL)?;
    let ring = make_ring(IoringSetupFlags::empty())?;
    check_operations(&ring)?;
    capabilities().map_err(|error| Unavailable(format!("no UDP socket can be made: {error}")))
}

/// What glommio can do where it runs.
///
/// # Errors
/// When no UDP socket can be made, to try what it can do.
pub fn capabilities() -> io::Result<Capabilities> {
    Ok(Capabilities {
        topology: Topology::PerCore,
        executor: "glommio (one a thread)",
        reactor: "io_uring (glommio, one a shard)",
        files: "io_uring",
        datagram: udp::probe()?,
    })
}

fn check_kernel() -> Result<(), Unavailable> {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    match parse_release(&release) {
        Some(version) if version < OLDEST_KERNEL => Err(Unavailable(format!(
            "glommio needs Linux {}.{} or newer, this is {release}",
            OLDEST_KERNEL.0, OLDEST_KERNEL.1
        ))),
        _ => Ok(()),
    }
}

/// Major and minor number of a kernel release such as `6.1.0-18-amd64`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn check_locked_memory() -> Result<(), Unavailable> {
    match getrlimit(Resource::Memlock).current {
        Some(limit) if limit < LEAST_LOCKED_MEMORY => Err(Unavailable(format!(
            "the limit on locked memory is {limit} bytes, glommio needs {LEAST_LOCKED_MEMORY} (see `ulimit -l`)"
        ))),
        _ => Ok(()),
    }
}

fn make_ring(flags: IoringSetupFlags) -> Result<OwnedFd, Unavailable> {
    let mut parameters = io_uring_params::default();
    parameters.flags = flags;
    // SAFETY: the kernel reads and fills `parameters`, which outlives the call; the ring is neither mapped nor entered.
    #[allow(unsafe_code, reason = "there is no other way to ask")]
    let ring = unsafe { io_uring_setup(2, &mut parameters) };
    ring.map_err(|errno| {
        Unavailable(match errno {
            Errno::PERM | Errno::ACCESS => {
                "io_uring is forbidden here: a seccomp profile (containers) or sysctl kernel.io_uring_disabled".into()
            }
            Errno::NOSYS => "this kernel has no io_uring".into(),
            Errno::NOMEM => "no locked memory is left for an io_uring (see `ulimit -l`)".into(),
            errno => format!("io_uring_setup(2) failed: {errno}"),
        })
    })
}

fn check_operations(ring: &OwnedFd) -> Result<(), Unavailable> {
    // `struct io_uring_probe`: a header of two words, then one word an operation. Read as words, not as the enumeration:
    // the kernel may know operations that it does not.
    let mut table = [0u64; 2 + MAX_OPERATIONS];
    let count = u32::try_from(MAX_OPERATIONS).unwrap_or(0);
    // SAFETY: the kernel writes a header and at most `count` entries of 8 bytes, which `table` has room for.
    #[allow(unsafe_code, reason = "there is no other way to ask")]
    let asked =
        unsafe { io_uring_register(ring, IoringRegisterOp::RegisterProbe, table.as_mut_ptr().cast(), count) };
    asked.map_err(|errno| Unavailable(format!("io_uring cannot be asked for its operations: {errno}")))?;
    let missing = OPERATIONS.iter().find(|operation| {
        let entry = table.get(2 + usize::from(**operation as u8)).copied().unwrap_or(0);
        flags_of(entry) & SUPPORTED == 0
    });
    match missing {
        Some(operation) => {
            Err(Unavailable(format!("this kernel's io_uring lacks the operation {operation:?}")))
        }
        None => Ok(()),
    }
}

/// The `u16` at byte 2 of an entry.
fn flags_of(entry: u64) -> u64 {
    let [_, _, low, high, ..] = entry.to_ne_bytes();
    u64::from(u16::from_ne_bytes([low, high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_are_read() {
        assert_eq!(parse_release("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(parse_release("5.10"), Some((5, 10)));
        assert_eq!(parse_release("rolling"), None);
        assert!((5, 7) < OLDEST_KERNEL && (5, 15) >= OLDEST_KERNEL && (6, 0) >= OLDEST_KERNEL);
    }

    #[test]
    fn the_answer_is_one_line() {
        match probe() {
            Ok(capabilities) => assert_eq!(capabilities.files, "io_uring"),
            Err(reason) => {
                eprintln!("skipped: {reason}");
                assert!(!reason.to_string().contains('\n'));
            }
        }
    }
}

//! Errors as Linux reports them.

use std::io;

/// A handle from before a crash.
pub(crate) fn dead() -> io::Error {
    io::Error::other("the simulated host is down")
}

pub(crate) fn in_use() -> io::Error {
    io::Error::from_raw_os_error(libc::EADDRINUSE)
}

pub(crate) fn refused() -> io::Error {
    io::Error::from_raw_os_error(libc::ECONNREFUSED)
}

pub(crate) fn timed_out() -> io::Error {
    io::Error::from_raw_os_error(libc::ETIMEDOUT)
}

pub(crate) fn reset() -> io::Error {
    io::Error::from_raw_os_error(libc::ECONNRESET)
}

pub(crate) fn broken_pipe() -> io::Error {
    io::Error::from_raw_os_error(libc::EPIPE)
}

pub(crate) fn too_large() -> io::Error {
    io::Error::from_raw_os_error(libc::EMSGSIZE)
}

pub(crate) fn unreachable() -> io::Error {
    io::Error::from_raw_os_error(libc::ENETUNREACH)
}

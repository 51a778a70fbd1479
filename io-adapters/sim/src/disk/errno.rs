//! Errors as Linux gives them.

use std::io;

pub(super) fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

pub(super) fn missing() -> io::Error {
    errno(libc::ENOENT)
}

pub(super) fn not_a_directory() -> io::Error {
    errno(libc::ENOTDIR)
}

pub(super) fn is_a_directory() -> io::Error {
    errno(libc::EISDIR)
}

pub(super) fn input_output() -> io::Error {
    errno(libc::EIO)
}

pub(super) fn bad_handle() -> io::Error {
    errno(libc::EBADF)
}

//! Files addressed by offset.

use std::future::Future;
use std::io;
use std::time::Duration;

/// How [`crate::Runtime::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// Open for reading.
    pub read: bool,
    /// Open for writing.
    pub write: bool,
    /// Create the file when it is missing.
    pub create: bool,
    /// Create the file; an existing one is an error.
    pub create_new: bool,
    /// Cut an existing file to length zero.
    pub truncate: bool,
}

impl OpenOptions {
    /// An existing file, for reading.
    #[must_use]
    pub const fn reading() -> Self {
        Self { read: true, write: false, create: false, create_new: false, truncate: false }
    }

    /// An existing file, for reading and writing.
    #[must_use]
    pub const fn writing() -> Self {
        Self { read: true, write: true, create: false, create_new: false, truncate: false }
    }

    /// A file for reading and writing, created when missing.
    #[must_use]
    pub const fn creating() -> Self {
        Self { create: true, ..Self::writing() }
    }
}

/// What is known of an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStatus {
    /// What it is.
    pub kind: FileKind,
    /// Its length in bytes; of no meaning unless it is a regular file.
    pub length: u64,
    /// When its content was last changed, since the Unix epoch, as finely as the file system keeps it.
    pub modified: Duration,
}

/// What an open file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A device, a pipe, a socket.
    Other,
}

/// A buffer that was lent to a file operation, and how the operation went.
#[must_use]
#[derive(Debug)]
pub struct Lent<T> {
    /// How it went.
    pub result: io::Result<T>,
    /// The buffer, back again. Empty when the operation was lost together with it.
    pub buffer: Vec<u8>,
}

/// A file addressed by offset. Buffers are lent to the operation and come back with its result, so that a kernel that
/// still works on one after the future was dropped owns it.
///
/// Cancel safety of every call: dropping the future leaves it open whether the operation takes place; the buffer is
/// lost. Several operations may be in flight at once; their order is not defined unless one is awaited before the
/// next is started.
pub trait BlockFile: Send + Sync + 'static {
    /// Reads into `buffer` (its whole length) from `offset`. Returns fewer bytes than asked for only at the end of the
    /// file; the rest of the buffer is then unspecified.
    fn read_at(&self, buffer: Vec<u8>, offset: u64) -> impl Future<Output = Lent<usize>> + Send;

    /// Writes all of `buffer` at `offset`, extending the file when needed. Not durable before a sync.
    fn write_at(&self, buffer: Vec<u8>, offset: u64) -> impl Future<Output = Lent<()>> + Send;

    /// Makes written data durable, with the metadata needed to read it back (`fdatasync(2)`).
    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes written data and all metadata durable (`fsync(2)`).
    fn sync_all(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Reserves blocks for `offset..offset + length` and extends the file to that end (`posix_fallocate(3)`).
    /// A later write inside the range needs no new blocks; unwritten bytes read as zero.
    fn allocate(&self, offset: u64, length: u64) -> impl Future<Output = io::Result<()>> + Send;

    /// Sets the length, cutting or extending with zeros.
    fn set_len(&self, length: u64) -> impl Future<Output = io::Result<()>> + Send;

    /// What kind of file it is, how long, and when it was last changed (`fstat(2)`).
    fn status(&self) -> impl Future<Output = io::Result<FileStatus>> + Send;

    /// The length in bytes.
    fn len(&self) -> impl Future<Output = io::Result<u64>> + Send;

    /// Whether the length is zero.
    fn is_empty(&self) -> impl Future<Output = io::Result<bool>> + Send {
        async { Ok(self.len().await? == 0) }
    }
}

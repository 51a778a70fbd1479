//! Files.

use crate::operation::{Operation, Tally};
use glommio::GlommioError;
use glommio::io::BufferedFile;
use rustix::io::fcntl_dupfd_cloexec;
use send_wrapper::SendWrapper;
use shroud_runtime::compose::offload;
use shroud_runtime::file::{FileKind, FileStatus, Lent};
use shroud_runtime::{BlockFile, Offload, OpenOptions};
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that one ring operation moves at most: glommio copies through a buffer of its own, which this bounds.
const MAX_OPERATION: usize = 1 << 20;

/// A file of one shard.
///
/// Reads, writes and data syncs are ring operations on buffers that belong to the operation: bytes are copied once, and
/// a dropped future leaves the kernel its buffer. What glommio has no ring operation for (a full sync, allocation of a
/// range, a new length) runs on a blocking thread.
///
/// The descriptor is closed by the ring, after the operations that use it: on the shard's next turn.
pub struct GlommioFile {
    file: SendWrapper<Rc<BufferedFile>>,
    pool: Arc<dyn Offload>,
    tally: Arc<Tally>,
}

impl GlommioFile {
    /// Opens on a blocking thread: a dropped future then closes what was opened, which a ring operation would leak.
    pub(crate) async fn open(
        pool: &Arc<dyn Offload>,
        tally: &Arc<Tally>,
        path: &Path,
        options: OpenOptions,
    ) -> io::Result<Self> {
        let path = path.to_owned();
        let open = move || {
            let file = File::options()
                .read(options.read)
                .write(options.write)
                .create(options.create)
                .create_new(options.create_new)
                .truncate(options.truncate)
                // Means nothing to files and directories; without it, opening a pipe would wait for its other end.
                .custom_flags(if options.write { 0 } else { libc::O_NONBLOCK })
                .open(path)?;
            // The ring would take the flag as a wish to fail rather than to wait for the disk.
            rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::empty())?;
            Ok::<_, io::Error>(file)
        };
        let file = offload(&**pool, open).await??;
        // SAFETY: the descriptor is open and owned, and its ownership moves into glommio's file, which closes it.
        #[allow(unsafe_code, reason = "glommio takes descriptors in no other way")]
        let file = unsafe { BufferedFile::from_raw_fd(file.into_raw_fd()) };
        let file = SendWrapper::new(Rc::new(file));
        Ok(Self { file, pool: Arc::clone(pool), tally: Arc::clone(tally) })
    }

    fn share(&self) -> SendWrapper<Rc<BufferedFile>> {
        SendWrapper::new(Rc::clone(&self.file))
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the file owns the descriptor and keeps it open for as long as it is borrowed here.
        #[allow(unsafe_code, reason = "glommio's files lend their descriptor only as a number")]
        unsafe {
            BorrowedFd::borrow_raw(self.file.as_raw_fd())
        }
    }

    /// Runs `job` on a blocking thread, with a duplicate of the descriptor.
    fn run(
        &self,
        job: impl FnOnce(&File) -> io::Result<()> + Send + 'static,
    ) -> impl Future<Output = io::Result<()>> + Send {
        let duplicate = fcntl_dupfd_cloexec(self.descriptor(), 0);
        async move {
            let file = File::from(duplicate?);
            offload(&*self.pool, move || job(&file)).await?
        }
    }
}

impl BlockFile for GlommioFile {
    fn read_at(&self, mut buffer: Vec<u8>, offset: u64) -> impl Future<Output = Lent<usize>> + Send {
        let file = self.share();
        async move {
            let result = read_full_at(file, &self.tally, &mut buffer, offset).await;
            Lent { result, buffer }
        }
    }

    fn write_at(&self, buffer: Vec<u8>, offset: u64) -> impl Future<Output = Lent<()>> + Send {
        let file = self.share();
        async move {
            let result = write_all_at(file, &self.tally, &buffer, offset).await;
            Lent { result, buffer }
        }
    }

    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + Send {
        let file = Rc::clone(&self.file);
        let sync = async move { file.fdatasync().await.map_err(io_error) };
        SendWrapper::new(Operation::new(&self.tally, sync))
    }

    fn sync_all(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.run(File::sync_all)
    }

    fn allocate(&self, offset: u64, length: u64) -> impl Future<Output = io::Result<()>> + Send {
        self.run(move |file| allocate(file, offset, length))
    }

    fn set_len(&self, length: u64) -> impl Future<Output = io::Result<()>> + Send {
        self.run(move |file| file.set_len(length))
    }

    async fn status(&self) -> io::Result<FileStatus> {
        let status = rustix::fs::fstat(self.descriptor())?;
        let kind = match rustix::fs::FileType::from_raw_mode(status.st_mode) {
            rustix::fs::FileType::RegularFile => FileKind::Regular,
            rustix::fs::FileType::Directory => FileKind::Directory,
            _ => FileKind::Other,
        };
        let length = u64::try_from(status.st_size).map_err(io::Error::other)?;
        // A file from before the epoch is as good as one of it.
        let seconds = u64::try_from(status.st_mtime).unwrap_or(0);
        let nanoseconds = u32::try_from(status.st_mtime_nsec).unwrap_or(0);
        Ok(FileStatus { kind, length, modified: Duration::new(seconds, nanoseconds) })
    }

    async fn len(&self) -> io::Result<u64> {
        // The inode of an open file is in memory: this does not wait for a disk.
        let status = rustix::fs::fstat(self.descriptor())?;
        u64::try_from(status.st_size).map_err(io::Error::other)
    }
}

impl std::fmt::Debug for GlommioFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlommioFile").finish_non_exhaustive()
    }
}

/// Reads until the buffer is full or the file ends.
async fn read_full_at(
    file: SendWrapper<Rc<BufferedFile>>,
    tally: &Arc<Tally>,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    check_range(offset, buffer.len())?;
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let (position, wanted) = (offset + filled as u64, rest.len().min(MAX_OPERATION));
        let operation = {
            let file = Rc::clone(&file);
            let read = async move { file.read_at(position, wanted).await.map_err(io_error) };
            SendWrapper::new(Operation::new(tally, read))
        };
        let read = match operation.await {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => SendWrapper::new(result?),
        };
        let count = read.len().min(rest.len());
        if count == 0 {
            break;
        }
        rest[..count].copy_from_slice(&read[..count]);
        filled += count;
    }
    Ok(filled)
}

/// Writes all of `bytes`.
async fn write_all_at(
    file: SendWrapper<Rc<BufferedFile>>,
    tally: &Arc<Tally>,
    bytes: &[u8],
    offset: u64,
) -> io::Result<()> {
    check_range(offset, bytes.len())?;
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        let (position, part) = (offset + written as u64, rest[..rest.len().min(MAX_OPERATION)].to_vec());
        let operation = {
            let file = Rc::clone(&file);
            let write = async move { file.write_at(part, position).await.map_err(io_error) };
            SendWrapper::new(Operation::new(tally, write))
        };
        match operation.await {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Refuses what the kernel would, also where the ring gives an offset a meaning of its own: the largest one stands for
/// the current position there.
fn check_range(offset: u64, length: usize) -> io::Result<()> {
    let end = u64::try_from(length).ok().and_then(|length| offset.checked_add(length));
    match end.map(i64::try_from) {
        Some(Ok(_)) => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{length} bytes at offset {offset} are beyond the largest file"),
        )),
    }
}

/// Reserves blocks, by `posix_fallocate(3)`: where the file system cannot, the C library writes zeros instead.
fn allocate(file: &File, offset: u64, length: u64) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let offset = libc::off_t::try_from(offset).map_err(too_large)?;
    let length = libc::off_t::try_from(length).map_err(too_large)?;
    loop {
        // SAFETY: the call takes no pointers, and the descriptor is open for as long as `file` is borrowed.
        #[allow(unsafe_code, reason = "the standard library has no call for this")]
        let errno = unsafe { libc::posix_fallocate(file.as_raw_fd(), offset, length) };
        match errno {
            0 => return Ok(()),
            libc::EINTR => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// The kernel's error, out of glommio's wrapping.
fn io_error(error: GlommioError<()>) -> io::Error {
    match error {
        GlommioError::IoError(error) | GlommioError::EnhancedIoError { source: error, .. } => error,
        error => io::Error::other(error.to_string()),
    }
}

//! Files on the executor's blocking threads.

use shroud_runtime::compose::offload;
use shroud_runtime::file::{FileKind, FileStatus, Lent};
use shroud_runtime::{BlockFile, Offload, OpenOptions};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// A file whose every operation is one job on a blocking thread: none of them can be known not to wait for a disk.
pub struct PoolFile {
    file: Arc<File>,
    pool: Arc<dyn Offload>,
}

impl PoolFile {
    /// Opens a file.
    ///
    /// # Errors
    /// As `open(2)`.
    pub async fn open(pool: &Arc<dyn Offload>, path: &Path, options: OpenOptions) -> io::Result<Self> {
        let path = path.to_owned();
        let open = move || {
            File::options()
                .read(options.read)
                .write(options.write)
                .create(options.create)
                .create_new(options.create_new)
                .truncate(options.truncate)
                // Means nothing to files and directories; without it, opening a pipe would wait for its other end.
                .custom_flags(if options.write { 0 } else { libc::O_NONBLOCK })
                .open(path)
        };
        let file = offload(&**pool, open).await??;
        Ok(Self { file: Arc::new(file), pool: Arc::clone(pool) })
    }

    /// Runs `job` with the file on a blocking thread.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = Arc::clone(&self.file);
        offload(&*self.pool, move || job(&file)).await?
    }

    /// Runs `job` with the file and a lent buffer on a blocking thread.
    async fn lend<T: Send + 'static>(
        &self,
        mut buffer: Vec<u8>,
        job: impl FnOnce(&File, &mut [u8]) -> io::Result<T> + Send + 'static,
    ) -> Lent<T> {
        let file = Arc::clone(&self.file);
        let job = move || {
            let result = job(&file, &mut buffer);
            Lent { result, buffer }
        };
        match offload(&*self.pool, job).await {
            Ok(lent) => lent,
            Err(lost) => Lent { result: Err(lost.into()), buffer: Vec::new() },
        }
    }
}

impl BlockFile for PoolFile {
    async fn read_at(&self, buffer: Vec<u8>, offset: u64) -> Lent<usize> {
        self.lend(buffer, move |file, buffer| read_full_at(file, buffer, offset)).await
    }

    async fn write_at(&self, buffer: Vec<u8>, offset: u64) -> Lent<()> {
        self.lend(buffer, move |file, buffer| file.write_all_at(buffer, offset)).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.run(File::sync_data).await
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.run(File::sync_all).await
    }

    async fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        self.run(move |file| allocate(file, offset, length)).await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.run(move |file| file.set_len(length)).await
    }

    async fn status(&self) -> io::Result<FileStatus> {
        self.run(|file| {
            let metadata = file.metadata()?;
            let kind = match metadata.file_type() {
                kind if kind.is_file() => FileKind::Regular,
                kind if kind.is_dir() => FileKind::Directory,
                _ => FileKind::Other,
            };
            // A file from before the epoch is as good as one of it.
            let modified = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Ok(FileStatus { kind, length: metadata.len(), modified })
        })
        .await
    }

    async fn len(&self) -> io::Result<u64> {
        self.run(|file| Ok(file.metadata()?.len())).await
    }
}

impl std::fmt::Debug for PoolFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolFile").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Reads until the buffer is full or the file ends.
fn read_full_at(file: &File, mut rest: &mut [u8], mut offset: u64) -> io::Result<usize> {
    let wanted = rest.len();
    while !rest.is_empty() {
        match file.read_at(rest, offset) {
            Ok(0) => break,
            Ok(read) => {
                rest = &mut rest[read..];
                // Cannot overflow: the kernel refuses offsets beyond the largest file.
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(wanted - rest.len())
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;
    use shroud_runtime::Job;

    /// Blocking threads of the simplest kind, or none at all.
    struct Threads {
        accepting: bool,
    }

    impl Offload for Threads {
        fn run_blocking(&self, job: Job) {
            if self.accepting {
                std::thread::spawn(job);
            }
        }
    }

    fn pool(accepting: bool) -> Arc<dyn Offload> {
        Arc::new(Threads { accepting })
    }

    #[test]
    fn allocated_ranges_read_as_zero_and_reads_stop_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        block_on(async {
            let file = PoolFile::open(&pool(true), &directory.path().join("file"), OpenOptions::creating())
                .await
                .unwrap();
            file.allocate(0, 0).await.unwrap();
            assert!(file.is_empty().await.unwrap());
            file.allocate(4096, 8192).await.unwrap();
            assert_eq!(file.len().await.unwrap(), 12_288);
            file.write_at(b"tail".to_vec(), 12_284).await.result.unwrap();
            let lent = file.read_at(vec![1; 100], 12_280).await;
            assert_eq!(lent.result.unwrap(), 8);
            assert_eq!(&lent.buffer[..8], b"\0\0\0\0tail");
            assert_eq!(file.read_at(vec![1; 4], 20_000).await.result.unwrap(), 0);
            assert!(file.allocate(u64::MAX, 1).await.is_err());
            assert!(file.read_at(vec![0; 4], u64::MAX).await.result.is_err());
        });
    }

    #[test]
    fn a_pool_that_has_shut_down_loses_the_operation_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        block_on(async {
            let error = PoolFile::open(&pool(false), &path, OpenOptions::creating()).await.unwrap_err();
            assert!(error.to_string().contains("shut down"), "{error}");
            let open = PoolFile::open(&pool(true), &path, OpenOptions::creating()).await.unwrap();
            let file = PoolFile { file: open.file, pool: pool(false) };
            let lent = file.write_at(vec![7; 4], 0).await;
            assert!(lent.result.is_err());
            assert!(lent.buffer.is_empty());
        });
    }
}

//! Files with synchronous verbs: what the store needs of a disk.

use shroud_io_sim::chance::Chance;
use shroud_io_sim::disk::{Disk, FileHandle, Timed};
use shroud_runtime::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A file system, called where blocking is allowed. The verbs mean what `shroud_runtime::Runtime` says.
#[allow(missing_docs, reason = "each verb is documented at its namesake in `Runtime` and `BlockFile`")]
pub trait Files: Send + 'static {
    /// A file that is open. It is given back to [`Files::close`].
    type File: Send;

    fn open(&mut self, path: &Path, options: OpenOptions) -> io::Result<Self::File>;
    fn close(&mut self, file: Self::File);
    fn read_at(&mut self, file: &Self::File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_at(&mut self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&mut self, file: &Self::File) -> io::Result<()>;
    fn set_len(&mut self, file: &Self::File, length: u64) -> io::Result<()>;
    fn len(&mut self, file: &Self::File) -> io::Result<u64>;
    fn create_dir_all(&mut self, path: &Path) -> io::Result<()>;
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&mut self, path: &Path) -> io::Result<()>;
    fn sync_dir(&mut self, path: &Path) -> io::Result<()>;
}

/// The files of a simulated disk that is shared with whoever crashes it.
#[derive(Debug)]
pub struct DiskFiles {
    disk: Arc<Mutex<Disk>>,
    chance: Chance,
    spent: Arc<Mutex<Duration>>,
}

impl DiskFiles {
    /// The files of `disk`, which draws from `chance`.
    #[must_use]
    pub fn new(disk: Arc<Mutex<Disk>>, chance: Chance) -> Self {
        Self { disk, chance, spent: Arc::default() }
    }

    /// The time that the disk has taken so far. Verbs do not wait: whoever runs them in virtual time adds it.
    #[must_use]
    pub fn spent(&self) -> Arc<Mutex<Duration>> {
        Arc::clone(&self.spent)
    }

    fn run<T>(&mut self, verb: impl FnOnce(&mut Disk, &mut Chance) -> Timed<T>) -> io::Result<T> {
        let (result, latency) =
            verb(&mut self.disk.lock().unwrap_or_else(PoisonError::into_inner), &mut self.chance);
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent = spent.saturating_add(latency);
        result
    }
}

impl Files for DiskFiles {
    type File = FileHandle;

    fn open(&mut self, path: &Path, options: OpenOptions) -> io::Result<FileHandle> {
        self.run(|disk, chance| disk.open(path, options, chance))
    }

    fn close(&mut self, file: FileHandle) {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).close(file);
    }

    fn read_at(&mut self, file: &FileHandle, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.run(|disk, chance| disk.read_at(*file, buffer, offset, chance))
    }

    fn write_at(&mut self, file: &FileHandle, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.run(|disk, chance| disk.write_at(*file, bytes, offset, chance))
    }

    fn sync_data(&mut self, file: &FileHandle) -> io::Result<()> {
        self.run(|disk, chance| disk.sync_data(*file, chance))
    }

    fn set_len(&mut self, file: &FileHandle, length: u64) -> io::Result<()> {
        self.run(|disk, chance| disk.set_len(*file, length, chance))
    }

    fn len(&mut self, file: &FileHandle) -> io::Result<u64> {
        self.run(|disk, chance| disk.len(*file, chance))
    }

    fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        self.run(|disk, chance| disk.create_dir_all(path, chance))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(|disk, chance| disk.rename(from, to, chance))
    }

    fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.run(|disk, chance| disk.remove_file(path, chance))
    }

    fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.run(|disk, chance| disk.sync_dir(path, chance))
    }
}

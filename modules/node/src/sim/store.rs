//! The store of a simulated node: a log on its host's disk.

use shroud_io_sim::chance::Chance;
use shroud_io_sim::disk::{Disk, FileHandle, Timed};
use shroud_ledger::store::{Store, StoreError};
use shroud_runtime::OpenOptions;
use shroud_sim::BlockingDisk;
use shroud_store_sim::{Files, LogStore};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Opens the store in a directory of a host's disk.
///
/// # Errors
/// [`StoreError`].
pub fn open(disk: BlockingDisk, directory: &Path) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(LogStore::open(HostFiles(disk), directory)?))
}

/// A host's disk as the store sees it: each verb takes its time at once, as for a thread that blocks.
struct HostFiles(BlockingDisk);

impl HostFiles {
    fn run<T>(&self, verb: impl FnOnce(&mut Disk, &mut Chance) -> Timed<T>) -> io::Result<T> {
        self.0.with(verb)
    }
}

impl Files for HostFiles {
    type File = FileHandle;

    fn open(&mut self, path: &Path, options: OpenOptions) -> io::Result<FileHandle> {
        self.run(|disk, chance| disk.open(path, options, chance))
    }

    fn close(&mut self, file: FileHandle) {
        // A host that is down has closed it already.
        let _ = self.run(|disk, _| {
            disk.close(file);
            (Ok(()), std::time::Duration::ZERO)
        });
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

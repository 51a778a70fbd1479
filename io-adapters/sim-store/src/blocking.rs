//! The files of a host of the simulated world, as its blocking jobs see them.

use crate::files::Files;
use shroud_io_sim::BlockingDisk;
use shroud_io_sim::disk::FileHandle;
use shroud_runtime::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

impl Files for BlockingDisk {
    type File = FileHandle;

    fn open(&mut self, path: &Path, options: OpenOptions) -> io::Result<FileHandle> {
        self.with(|disk, chance| disk.open(path, options, chance))
    }

    fn close(&mut self, file: FileHandle) {
        // A host that is down has closed everything already.
        let _ = self.with(|disk, _| {
            disk.close(file);
            (Ok(()), Duration::ZERO)
        });
    }

    fn read_at(&mut self, file: &FileHandle, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|disk, chance| disk.read_at(*file, buffer, offset, chance))
    }

    fn write_at(&mut self, file: &FileHandle, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|disk, chance| disk.write_at(*file, bytes, offset, chance))
    }

    fn sync_data(&mut self, file: &FileHandle) -> io::Result<()> {
        self.with(|disk, chance| disk.sync_data(*file, chance))
    }

    fn set_len(&mut self, file: &FileHandle, length: u64) -> io::Result<()> {
        self.with(|disk, chance| disk.set_len(*file, length, chance))
    }

    fn len(&mut self, file: &FileHandle) -> io::Result<u64> {
        self.with(|disk, chance| disk.len(*file, chance))
    }

    fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        self.with(|disk, chance| disk.create_dir_all(path, chance))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(|disk, chance| disk.rename(from, to, chance))
    }

    fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.with(|disk, chance| disk.remove_file(path, chance))
    }

    fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.with(|disk, chance| disk.sync_dir(path, chance))
    }
}

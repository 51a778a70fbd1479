//! The disk's verbs.

use super::content::{PAGE_BYTES, SECTOR_BYTES};
use super::crash::{CrashReport, Survival};
use super::errno::{bad_handle, errno, input_output, is_a_directory, missing};
use super::faults::{Armed, DiskFaults, Fault, FaultKind};
use super::latency::{Latencies, Verb};
use super::namespace::{Found, Inode, Namespace};
use crate::chance::Chance;
use shroud_runtime::{FileKind, FileStatus, OpenOptions};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest file of ext4 with blocks of 4 KiB.
pub const MAX_FILE_BYTES: u64 = (1 << 44) - 4096;

/// What a verb says, and how long it takes to say so.
pub type Timed<T> = (io::Result<T>, Duration);

/// A disk with its file system: a tree of directories and files that survive crashes as the module says.
///
/// Verbs take effect when they are called, and say how long they take; what happens in between is the driver's. Paths begin at
/// the root, also those without a leading slash.
#[derive(Default)]
pub struct Disk {
    names: Namespace,
    handles: BTreeMap<FileHandle, OpenFile>,
    /// The next handle. Never used twice, so that one from before a crash opens nothing.
    next: u64,
    armed: Armed,
    /// The time that changes are dated with, since the Unix epoch.
    date: Duration,
}

/// A file that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHandle(u64);

/// A sync that has begun: it covers what was written before it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncTicket {
    /// The file that must be open still in the end; `None` for one that was named by its path.
    handle: Option<FileHandle>,
    inode: Inode,
    number: u64,
    struck: Option<FaultKind>,
    /// What a stall adds between the effect and the answer.
    stall: Duration,
}

#[derive(Debug, Clone, Copy)]
struct OpenFile {
    inode: Inode,
    read: bool,
    write: bool,
}

impl Disk {
    /// An empty disk that behaves as `faults` says.
    #[must_use]
    pub fn new(faults: DiskFaults) -> Self {
        let mut disk = Self::default();
        disk.set_faults(faults);
        disk
    }

    /// Replaces the whole plan.
    pub fn set_faults(&mut self, faults: DiskFaults) {
        self.armed.set(faults);
    }

    /// Adds a fault to the plan.
    pub fn arm(&mut self, fault: Fault) {
        self.armed.add(fault);
    }

    /// Removes the faults that `goes` says yes to.
    pub fn disarm(&mut self, goes: impl Fn(&Fault) -> bool) {
        self.armed.remove(goes);
    }

    /// Sets the time that changes are dated with.
    pub const fn set_date(&mut self, since_epoch: Duration) {
        self.date = since_epoch;
    }

    /// Sets how many bytes files may take; `None`: no limit.
    pub const fn set_capacity(&mut self, capacity: Option<u64>) {
        self.armed.capacity = capacity;
    }

    /// Sets how long its verbs take. A long sync takes effect at its end; a stall comes after a verb has taken effect, of a
    /// sync also before.
    pub const fn set_latencies(&mut self, latencies: Latencies) {
        self.armed.latencies = latencies;
    }

    /// How often each kind of fault has struck, by its name.
    #[must_use]
    pub const fn struck(&self) -> &BTreeMap<&'static str, u64> {
        self.armed.struck()
    }

    /// How many files are open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.handles.len()
    }

    /// Bytes of space that files take, in whole pages. After a crash that brings removed files back it may be above the
    /// capacity.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.names.files().map(|file| file.live().space()).sum()
    }

    /// Opens a file. Directories can be opened for reading, to be synced.
    pub fn open(&mut self, path: &Path, options: OpenOptions, chance: &mut Chance) -> Timed<FileHandle> {
        let (struck, latency) = self.begin(Verb::Open, Target::Path(path), 0..0, chance);
        debug_assert!(struck.is_none());
        (self.try_open(path, options), latency)
    }

    fn try_open(&mut self, path: &Path, options: OpenOptions) -> io::Result<FileHandle> {
        let OpenOptions { read, write, create, create_new, truncate } = options;
        if !write && (!read || create || create_new || truncate) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (existing, free) = match self.names.find(path)? {
            Found::Nameless(inode) => (Some(inode), None),
            Found::Name { entry: Some(inode), .. } => (Some(inode), None),
            Found::Name { directory, name, entry: None } => (None, Some((directory, name))),
        };
        let inode = match (existing, free) {
            (Some(_), _) if create_new => return Err(errno(libc::EEXIST)),
            (Some(inode), _) if write && self.names.is_directory(inode) => return Err(is_a_directory()),
            (Some(inode), _) => {
                if truncate {
                    let file = self.names.file_mut(inode)?;
                    file.set_length(0);
                    file.touch(self.date);
                }
                inode
            }
            (None, Some((directory, name))) if create || create_new => {
                let inode = self.names.create_file(directory, &name);
                self.names.file_mut(inode)?.touch(self.date);
                inode
            }
            (None, _) => return Err(missing()),
        };
        let handle = FileHandle(self.next);
        self.next += 1;
        self.handles.insert(handle, OpenFile { inode, read, write });
        Ok(handle)
    }

    /// Closes a file. Nothing is made durable by it.
    pub fn close(&mut self, handle: FileHandle) {
        if let Some(open) = self.handles.remove(&handle)
            && self.names.path_of(open.inode).is_none()
        {
            self.collect();
        }
    }

    /// Reads into the whole buffer; fewer bytes only at the end of the file.
    pub fn read_at(
        &mut self,
        handle: FileHandle,
        buffer: &mut [u8],
        offset: u64,
        chance: &mut Chance,
    ) -> Timed<usize> {
        let range = offset..offset.saturating_add(buffer.len() as u64);
        let (struck, latency) = self.begin(Verb::Read, Target::Handle(handle), range, chance);
        let mut read = || {
            let open = self.handles.get(&handle).filter(|open| open.read).ok_or_else(bad_handle)?;
            let file = self.names.file(open.inode)?;
            if i64::try_from(offset).is_err() {
                return Err(errno(libc::EINVAL));
            }
            match struck {
                Some(FaultKind::ReadError { .. }) => Err(input_output()),
                _ => Ok(file.live().read(offset, buffer)),
            }
        };
        (read(), latency)
    }

    /// Writes all bytes, extending the file when needed. When it fails, a part of them may have been written.
    pub fn write_at(
        &mut self,
        handle: FileHandle,
        bytes: &[u8],
        offset: u64,
        chance: &mut Chance,
    ) -> Timed<()> {
        let range = offset..offset.saturating_add(bytes.len() as u64);
        let (struck, latency) = self.begin(Verb::Write, Target::Handle(handle), range, chance);
        (self.try_write(handle, bytes, offset, struck, chance), latency)
    }

    fn try_write(
        &mut self,
        handle: FileHandle,
        bytes: &[u8],
        offset: u64,
        struck: Option<FaultKind>,
        chance: &mut Chance,
    ) -> io::Result<()> {
        let inode = self.writable(handle).ok_or_else(bad_handle)?;
        if i64::try_from(offset).is_err() {
            return Err(errno(libc::EINVAL));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let range = offset..offset.saturating_add(bytes.len() as u64);
        if range.end > MAX_FILE_BYTES {
            return Err(errno(libc::EFBIG));
        }
        if matches!(struck, Some(FaultKind::WriteError { .. })) {
            let part = chance.between(0, bytes.len() as u64 / SECTOR_BYTES) * SECTOR_BYTES;
            let fits = self.fitting(inode, offset..offset + part)?;
            self.put(inode, bytes, offset, fits, None)?;
            return Err(input_output());
        }
        let lands = match struck {
            Some(FaultKind::MisdirectedWrite) => self.elsewhere(inode, &range, chance)?,
            _ => None,
        };
        let fits = self.fitting(inode, range)?;
        self.put(inode, bytes, offset, fits, lands)?;
        if fits < bytes.len() as u64 { Err(errno(libc::ENOSPC)) } else { Ok(()) }
    }

    fn put(
        &mut self,
        inode: Inode,
        bytes: &[u8],
        offset: u64,
        count: u64,
        lands: Option<u64>,
    ) -> io::Result<()> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        match bytes.get(..count) {
            Some(bytes) if !bytes.is_empty() => {
                let file = self.names.file_mut(inode)?;
                file.write(offset, bytes, lands);
                file.touch(self.date);
            }
            _ => {}
        }
        Ok(())
    }

    /// How many bytes from the start of `range` there is space for.
    fn fitting(&self, inode: Inode, range: Range<u64>) -> io::Result<u64> {
        let Some(free) = self.free() else { return Ok(range.end - range.start) };
        let content = self.names.file(inode)?.live();
        if content.space_missing(&range) <= free {
            return Ok(range.end - range.start);
        }
        // The page where it does not fit any more.
        let (mut fits, mut fails) = (range.start, range.end);
        while fails - fits > 1 {
            let middle = fits + (fails - fits) / 2;
            if content.space_missing(&(range.start..middle)) <= free {
                fits = middle;
            } else {
                fails = middle;
            }
        }
        Ok(fits - range.start)
    }

    fn free(&self) -> Option<u64> {
        self.armed.capacity.map(|capacity| capacity.saturating_sub(self.used()))
    }

    /// Another place in the file for the sectors of a write; `None`: there is none.
    fn elsewhere(&self, inode: Inode, range: &Range<u64>, chance: &mut Chance) -> io::Result<Option<u64>> {
        let first = range.start / SECTOR_BYTES;
        let count = range.end.div_ceil(SECTOR_BYTES) - first;
        let places = (self.names.file(inode)?.live().length() / SECTOR_BYTES).saturating_sub(count);
        let place = chance.below(places);
        let place = if place >= first { place + 1 } else { place };
        Ok((places > 0).then_some(place * SECTOR_BYTES))
    }

    /// Begins a sync of what was written so far. It takes effect with [`Disk::finish_sync`], after the time that this says;
    /// a crash in between may leave anything of it. A stall comes before the effect or between it and the answer.
    pub fn begin_sync(&mut self, handle: FileHandle, chance: &mut Chance) -> Timed<SyncTicket> {
        let inode = self.handles.get(&handle).map(|open| open.inode).ok_or_else(bad_handle);
        self.begin_sync_of(Verb::Sync, Target::Handle(handle), inode, chance)
    }

    /// Begins to make the names in a directory durable, as [`Disk::begin_sync`] does with a file; a file at the path is
    /// synced instead, as `fsync(2)` does.
    pub fn begin_sync_dir(&mut self, path: &Path, chance: &mut Chance) -> Timed<SyncTicket> {
        let inode = self.names.resolve(path);
        self.begin_sync_of(Verb::SyncDirectory, Target::Path(path), inode, chance)
    }

    fn begin_sync_of(
        &mut self,
        verb: Verb,
        target: Target<'_>,
        inode: io::Result<Inode>,
        chance: &mut Chance,
    ) -> Timed<SyncTicket> {
        let latency = self.armed.latencies.draw(verb, 0, chance);
        let handle = match target {
            Target::Handle(handle) => Some(handle),
            Target::Path(_) => None,
        };
        let (struck, stall) = self.strike(verb, target, 0..0, chance);
        let before = if !stall.is_zero() && chance.coin() { stall } else { Duration::ZERO };
        let ticket = inode.map(|inode| {
            let number = self.names.file(inode).map_or(0, |file| file.next_number());
            SyncTicket { handle, inode, number, struck, stall: stall.saturating_sub(before) }
        });
        (ticket, latency.saturating_add(before))
    }

    /// Ends a sync: durable, or failed.
    ///
    /// The time is what a stall adds until the answer.
    pub fn finish_sync(&mut self, ticket: SyncTicket, chance: &mut Chance) -> Timed<()> {
        let SyncTicket { handle, inode, number, struck, stall } = ticket;
        let open = |handle| self.handles.get(&handle).is_some_and(|open| open.inode == inode);
        if handle.is_some_and(|handle| !open(handle)) {
            return (Err(bad_handle()), stall);
        }
        (self.settle_sync(inode, number, struck, chance), stall)
    }

    /// Makes written data durable, with the metadata needed to read it back (`fdatasync(2)`), but not the file's name.
    pub fn sync_data(&mut self, handle: FileHandle, chance: &mut Chance) -> Timed<()> {
        let begun = self.begin_sync(handle, chance);
        self.finish(begun, chance)
    }

    /// As [`Disk::sync_data`]: here there is no other metadata.
    pub fn sync_all(&mut self, handle: FileHandle, chance: &mut Chance) -> Timed<()> {
        self.sync_data(handle, chance)
    }

    /// Makes the names in a directory durable; a file at the path is synced instead, as `fsync(2)` does.
    pub fn sync_dir(&mut self, path: &Path, chance: &mut Chance) -> Timed<()> {
        let begun = self.begin_sync_dir(path, chance);
        self.finish(begun, chance)
    }

    /// A whole sync at once, for code that blocks.
    fn finish(&mut self, begun: Timed<SyncTicket>, chance: &mut Chance) -> Timed<()> {
        match begun {
            (Ok(ticket), latency) => {
                let (result, stall) = self.finish_sync(ticket, chance);
                (result, latency.saturating_add(stall))
            }
            (Err(error), latency) => (Err(error), latency),
        }
    }

    fn settle_sync(
        &mut self,
        inode: Inode,
        number: u64,
        struck: Option<FaultKind>,
        chance: &mut Chance,
    ) -> io::Result<()> {
        match struck {
            Some(FaultKind::LostSync) => return Ok(()),
            Some(FaultKind::SyncError) => {
                if let Ok(file) = self.names.file_mut(inode) {
                    file.fail_sync(number, Survival::draw(chance), chance);
                }
                return Err(input_output());
            }
            _ => {}
        }
        if self.names.is_directory(inode) {
            self.names.sync_directory(inode);
            self.collect();
            return Ok(());
        }
        self.names.file_mut(inode)?.sync(number);
        Ok(())
    }

    /// Reserves space and extends the file to its end (`posix_fallocate(3)`). All of it or nothing.
    pub fn allocate(
        &mut self,
        handle: FileHandle,
        offset: u64,
        length: u64,
        chance: &mut Chance,
    ) -> Timed<()> {
        let range = offset..offset.saturating_add(length);
        let (_, latency) = self.begin(Verb::Allocate, Target::Handle(handle), range.clone(), chance);
        let mut allocate = || {
            if length == 0 {
                return Ok(());
            }
            if i64::try_from(offset).is_err() || i64::try_from(length).is_err() || range.end > MAX_FILE_BYTES
            {
                return Err(errno(libc::EFBIG));
            }
            let inode = self.writable(handle).ok_or_else(bad_handle)?;
            let missing = self.names.file(inode)?.live().space_missing(&range);
            if self.free().is_some_and(|free| missing > free) {
                return Err(errno(libc::ENOSPC));
            }
            self.names.file_mut(inode)?.reserve(range.clone());
            Ok(())
        };
        (allocate(), latency)
    }

    /// Sets the length, cutting or extending with zeros (`ftruncate(2)`).
    pub fn set_len(&mut self, handle: FileHandle, length: u64, chance: &mut Chance) -> Timed<()> {
        let (_, latency) = self.begin(Verb::SetLength, Target::Handle(handle), 0..0, chance);
        let mut set = || {
            if i64::try_from(length).is_err() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let inode = self.writable(handle).ok_or_else(|| match self.handles.contains_key(&handle) {
                true => errno(libc::EINVAL),
                false => bad_handle(),
            })?;
            if length > MAX_FILE_BYTES {
                return Err(errno(libc::EFBIG));
            }
            let file = self.names.file_mut(inode)?;
            file.set_length(length);
            file.touch(self.date);
            Ok(())
        };
        (set(), latency)
    }

    /// The length in bytes.
    pub fn len(&mut self, handle: FileHandle, chance: &mut Chance) -> Timed<u64> {
        let (_, latency) = self.begin(Verb::Read, Target::Handle(handle), 0..0, chance);
        let open = self.handles.get(&handle).ok_or_else(bad_handle);
        // A directory's is its file system's own matter: one block, as on ext4.
        let length =
            open.map(|open| self.names.file(open.inode).map_or(PAGE_BYTES, |file| file.live().length()));
        (length, latency)
    }

    /// What kind of file it is, how long, and when it was last changed.
    pub fn status(&mut self, handle: FileHandle, chance: &mut Chance) -> Timed<FileStatus> {
        let (_, latency) = self.begin(Verb::Read, Target::Handle(handle), 0..0, chance);
        let open = self.handles.get(&handle).ok_or_else(bad_handle);
        let status = open.map(|open| match self.names.file(open.inode) {
            Ok(file) => FileStatus {
                kind: FileKind::Regular,
                length: file.live().length(),
                modified: file.modified(),
            },
            Err(_) => FileStatus { kind: FileKind::Directory, length: PAGE_BYTES, modified: Duration::ZERO },
        });
        (status, latency)
    }

    /// The entries of a directory, sorted by name.
    pub fn read_dir(&mut self, path: &Path, chance: &mut Chance) -> Timed<Vec<PathBuf>> {
        let (_, latency) = self.begin(Verb::Names, Target::Path(path), 0..0, chance);
        (self.names.list(path), latency)
    }

    /// Creates a directory and its missing parents; each is durable when its parent was synced.
    pub fn create_dir_all(&mut self, path: &Path, chance: &mut Chance) -> Timed<()> {
        let (_, latency) = self.begin(Verb::Names, Target::Path(path), 0..0, chance);
        (self.names.create_directories(path), latency)
    }

    /// Renames a file or directory, replacing what has the name (`rename(2)`).
    pub fn rename(&mut self, from: &Path, to: &Path, chance: &mut Chance) -> Timed<()> {
        let (_, latency) = self.begin(Verb::Names, Target::Path(from), 0..0, chance);
        let renamed = self.names.rename(from, to);
        self.collect();
        (renamed, latency)
    }

    /// Removes a file's name (`unlink(2)`). What is open stays until it is closed.
    pub fn remove_file(&mut self, path: &Path, chance: &mut Chance) -> Timed<()> {
        let (_, latency) = self.begin(Verb::Names, Target::Path(path), 0..0, chance);
        let removed = self.names.remove_file(path);
        self.collect();
        (removed, latency)
    }

    /// The process stops: its files are closed, and what it wrote is still in the page cache.
    pub fn kill(&mut self) -> u64 {
        let closed = self.handles.len() as u64;
        self.handles.clear();
        self.collect();
        closed
    }

    /// The machine stops. Durable data stays; of the rest any part does, as the module says.
    pub fn crash(&mut self, chance: &mut Chance) -> CrashReport {
        let survival = Survival::draw(chance);
        let handles_closed = self.handles.len() as u64;
        self.handles.clear();
        let mut report = CrashReport { handles_closed, ..CrashReport::default() };
        for file in self.names.files_mut() {
            let survivors = file.crash(survival, chance);
            report.sectors_kept += survivors.kept;
            report.sectors_lost += survivors.lost;
        }
        (report.names_kept, report.names_lost) = self.names.crash(survival, chance);
        self.collect();
        report
    }

    /// Drops what the page cache holds beside what still waits for a sync: readers see the disk.
    pub fn drop_caches(&mut self) {
        self.names.files_mut().for_each(super::file::FileState::drop_cache);
    }

    /// Bit rot: turns the bits of `mask` over in a durable byte of a file.
    ///
    /// # Errors
    /// When there is no file at the path, or its durable part does not have the byte.
    pub fn rot(&mut self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let file = self.names.file_mut(self.names.resolve(path)?)?;
        if offset >= file.durable().length() {
            return Err(errno(libc::EINVAL));
        }
        file.rot(offset, mask);
        Ok(())
    }

    /// The bytes that any crash would leave of a file, if it left its name; `None`: its name is not durable.
    #[must_use]
    pub fn durable(&self, path: &Path) -> Option<Vec<u8>> {
        let content = self.names.file(self.names.resolve_durable(path)?).ok()?.durable();
        let mut bytes = vec![0; usize::try_from(content.length()).ok()?];
        content.read(0, &mut bytes);
        Some(bytes)
    }

    fn writable(&self, handle: FileHandle) -> Option<Inode> {
        self.handles.get(&handle).filter(|open| open.write).map(|open| open.inode)
    }

    fn collect(&mut self) {
        self.names.collect(self.handles.values().map(|open| open.inode));
    }

    /// Draws a verb's latency and what goes wrong with it.
    fn begin(
        &mut self,
        verb: Verb,
        target: Target<'_>,
        range: Range<u64>,
        chance: &mut Chance,
    ) -> (Option<FaultKind>, Duration) {
        let bytes = match verb {
            Verb::Read | Verb::Write => usize::try_from(range.end - range.start).unwrap_or(usize::MAX),
            _ => 0,
        };
        let latency = self.armed.latencies.draw(verb, bytes, chance);
        let (struck, stall) = self.strike(verb, target, range, chance);
        (struck, latency.saturating_add(stall))
    }

    fn strike(
        &mut self,
        verb: Verb,
        target: Target<'_>,
        range: Range<u64>,
        chance: &mut Chance,
    ) -> (Option<FaultKind>, Duration) {
        if !self.armed.is_armed() {
            return (None, Duration::ZERO);
        }
        let path = match target {
            Target::Path(path) => Path::new("/").join(path),
            Target::Handle(handle) => {
                let inode = self.handles.get(&handle).map(|open| open.inode);
                inode.and_then(|inode| self.names.path_of(inode)).unwrap_or_default()
            }
        };
        let struck = self.armed.strike(verb, &path, &range, chance);
        (struck.kind, struck.stall)
    }
}

/// What a verb is about.
#[derive(Clone, Copy)]
enum Target<'a> {
    Path(&'a Path),
    Handle(FileHandle),
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("files", &self.names.files().count())
            .field("unsynced_files", &self.names.files().filter(|file| file.is_dirty()).count())
            .field("unsynced_names", &self.names.pending())
            .field("open", &self.handles.len())
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

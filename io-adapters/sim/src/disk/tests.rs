//! A disk against models: what a reader sees, and what a crash may leave.

use super::*;
use crate::chance::{Chance, Rate};
use proptest::prelude::*;
use shroud_runtime::OpenOptions;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

fn disk() -> Disk {
    Disk::new(DiskFaults { latencies: Latencies::NONE, ..DiskFaults::default() })
}

fn create(disk: &mut Disk, path: &str) -> FileHandle {
    disk.open(Path::new(path), OpenOptions::creating(), &mut Chance::new(0)).0.unwrap()
}

fn write(disk: &mut Disk, file: FileHandle, offset: u64, bytes: &[u8]) -> io::Result<()> {
    disk.write_at(file, bytes, offset, &mut Chance::new(offset)).0
}

fn sync(disk: &mut Disk, file: FileHandle) -> io::Result<()> {
    disk.sync_data(file, &mut Chance::new(0)).0
}

fn sync_dir(disk: &mut Disk, path: &str) {
    disk.sync_dir(Path::new(path), &mut Chance::new(0)).0.unwrap();
}

/// What a reader sees; `None`: there is no file.
fn read(disk: &mut Disk, path: &str) -> Option<Vec<u8>> {
    let mut chance = Chance::new(0);
    let file = disk.open(Path::new(path), OpenOptions::reading(), &mut chance).0.ok()?;
    let length = disk.len(file, &mut chance).0.unwrap();
    let mut bytes = vec![0xEE; length as usize + 7];
    assert_eq!(disk.read_at(file, &mut bytes, 0, &mut chance).0.unwrap() as u64, length);
    bytes.truncate(length as usize);
    disk.close(file);
    Some(bytes)
}

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[derive(Debug, Clone)]
enum Step {
    Write(u64, usize),
    SetLength(u64),
    Allocate(u64, u64),
    Sync,
    Kill,
    DropCaches,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..6000u64, 1..3000usize).prop_map(|(offset, length)| Step::Write(offset, length)),
        2 => (0..9000u64).prop_map(Step::SetLength),
        1 => (0..6000u64, 1..6000u64).prop_map(|(offset, length)| Step::Allocate(offset, length)),
        1 => Just(Step::Sync),
        1 => Just(Step::Kill),
        1 => Just(Step::DropCaches),
    ];
    proptest::collection::vec(step, 0..25)
}

/// A file's bytes, and what a crash may leave of it.
#[derive(Default)]
struct Model {
    live: Vec<u8>,
    lengths: BTreeSet<usize>,
    /// For each sector what it may be.
    sectors: Vec<BTreeSet<Vec<u8>>>,
}

const SECTOR: usize = SECTOR_BYTES as usize;

impl Model {
    fn sector(&self, number: usize) -> Vec<u8> {
        self.live.iter().copied().chain(std::iter::repeat(0)).skip(number * SECTOR).take(SECTOR).collect()
    }

    fn note(&mut self) {
        self.lengths.insert(self.live.len());
        let count = self.live.len().div_ceil(SECTOR).max(self.sectors.len());
        for number in 0..count {
            let sector = self.sector(number);
            match self.sectors.get_mut(number) {
                Some(allowed) => drop(allowed.insert(sector)),
                // Until now it read as zero.
                None => self.sectors.push(BTreeSet::from([vec![0; SECTOR], sector])),
            }
        }
    }

    fn cut(&mut self, length: usize) {
        self.live.resize(length, 0);
        // The cut falls on whatever has reached the disk.
        for (number, allowed) in self.sectors.iter_mut().enumerate() {
            let kept = length.saturating_sub(number * SECTOR).min(SECTOR);
            if kept < SECTOR {
                let cut =
                    |sector: &Vec<u8>| sector[..kept].iter().copied().chain(vec![0; SECTOR - kept]).collect();
                let cut: Vec<_> = allowed.iter().map(cut).collect();
                allowed.extend(cut);
            }
        }
        self.note();
    }

    fn synced(&mut self) {
        (self.lengths, self.sectors) = Default::default();
        self.note();
        self.sectors = (0..self.live.len().div_ceil(SECTOR))
            .map(|number| BTreeSet::from([self.sector(number)]))
            .collect();
    }

    fn run(&mut self, disk: &mut Disk, steps: &[Step]) {
        let mut file = create(disk, "/file");
        let mut chance = Chance::new(1);
        for (number, step) in (1..).zip(steps) {
            match *step {
                Step::Write(offset, length) => {
                    write(disk, file, offset, &vec![number; length]).unwrap();
                    let end = offset as usize + length;
                    self.live.resize(self.live.len().max(end), 0);
                    self.live[offset as usize..end].fill(number);
                    self.note();
                }
                Step::SetLength(length) => {
                    disk.set_len(file, length, &mut chance).0.unwrap();
                    self.cut(length as usize);
                }
                Step::Allocate(offset, length) => {
                    disk.allocate(file, offset, length, &mut chance).0.unwrap();
                    self.live.resize(self.live.len().max((offset + length) as usize), 0);
                    self.note();
                }
                Step::Sync => {
                    sync(disk, file).unwrap();
                    self.synced();
                }
                Step::Kill => {
                    assert_eq!(disk.kill(), 1);
                    assert_eq!(code(write(disk, file, 0, b"x")), Some(libc::EBADF));
                    file = create(disk, "/file");
                }
                Step::DropCaches => disk.drop_caches(),
            }
            assert!(read(disk, "/file").unwrap() == self.live, "after {step:?}");
        }
    }
}

proptest! {
    #[test]
    fn a_crash_leaves_what_was_synced_and_any_sectors_of_the_rest(steps in steps(), seed: u64) {
        let (mut disk, mut model) = (disk(), Model::default());
        create(&mut disk, "/file");
        sync_dir(&mut disk, "/");
        model.synced();
        disk.kill();
        model.run(&mut disk, &steps);
        let mut twin_chance = Chance::new(seed);
        disk.crash(&mut Chance::new(seed));
        let left = read(&mut disk, "/file").expect("its name was synced");
        prop_assert!(model.lengths.contains(&left.len()), "{} of {:?}", left.len(), model.lengths);
        for (number, sector) in left.chunks(SECTOR).enumerate() {
            let allowed = model.sectors.get(number).into_iter().flatten();
            prop_assert!(allowed.into_iter().any(|allowed| allowed.starts_with(sector)), "sector {number} is torn within");
        }
        // What the crash has left is durable.
        disk.crash(&mut twin_chance);
        prop_assert_eq!(read(&mut disk, "/file"), Some(left.clone()));
        prop_assert_eq!(disk.durable(Path::new("/file")), Some(left));
        prop_assert_eq!(disk.open_files(), 0);
    }

    #[test]
    fn the_same_seed_leaves_the_same(steps in steps(), seed: u64) {
        let run = || {
            let mut disk = disk();
            create(&mut disk, "/file");
            sync_dir(&mut disk, "/");
            disk.kill();
            Model::default().run(&mut disk, &steps);
            let report = disk.crash(&mut Chance::new(seed));
            (report, disk.durable(Path::new("/file")))
        };
        prop_assert_eq!(run(), run());
    }
}

/// Runs `story` on many seeds, each with a crash at its end, and collects what its `look` sees.
fn outcomes<T: Ord>(story: impl Fn(&mut Disk), look: impl Fn(&mut Disk) -> T) -> BTreeSet<T> {
    let outcome = |seed| {
        let mut disk = disk();
        story(&mut disk);
        disk.crash(&mut Chance::new(seed));
        look(&mut disk)
    };
    (0..200).map(outcome).collect()
}

#[test]
fn every_kind_of_loss_happens() {
    let story = |disk: &mut Disk| {
        let file = create(disk, "/file");
        write(disk, file, 0, &[1; 3 * SECTOR]).unwrap();
        sync(disk, file).unwrap();
        sync_dir(disk, "/");
        write(disk, file, 0, &[2; 2 * SECTOR]).unwrap();
        write(disk, file, 2 * SECTOR as u64, &[3; SECTOR]).unwrap();
    };
    let look = |disk: &mut Disk| {
        let bytes = read(disk, "/file").unwrap();
        (bytes[0], bytes[SECTOR], bytes[2 * SECTOR])
    };
    let seen = outcomes(story, look);
    let all = [(1, 1, 1), (1, 1, 3), (1, 2, 1), (1, 2, 3), (2, 1, 1), (2, 1, 3), (2, 2, 1), (2, 2, 3)];
    assert_eq!(seen, BTreeSet::from(all));
}

#[test]
fn a_created_file_is_durable_when_its_directory_was_synced_and_not_before() {
    let story = |disk: &mut Disk| {
        let file = create(disk, "/file");
        write(disk, file, 0, b"synced").unwrap();
        sync(disk, file).unwrap();
    };
    let look = |disk: &mut Disk| read(disk, "/file");
    assert_eq!(outcomes(story, look), BTreeSet::from([None, Some(b"synced".to_vec())]));
    let story = |disk: &mut Disk| {
        story(disk);
        sync_dir(disk, "/");
    };
    assert_eq!(outcomes(story, look), BTreeSet::from([Some(b"synced".to_vec())]));
    // A name without its data.
    let story = |disk: &mut Disk| {
        let file = create(disk, "/file");
        write(disk, file, 0, b"written").unwrap();
        sync_dir(disk, "/");
    };
    let seen = outcomes(story, look);
    assert_eq!(seen, BTreeSet::from([Some(vec![]), Some(vec![0; 7]), Some(b"written".to_vec())]));
}

#[test]
fn a_directory_of_synced_files_is_gone_when_its_own_name_was_not_synced() {
    let story = |disk: &mut Disk| {
        disk.create_dir_all(Path::new("/a/b"), &mut Chance::new(0)).0.unwrap();
        let file = create(disk, "/a/b/file");
        write(disk, file, 0, b"x").unwrap();
        sync(disk, file).unwrap();
        sync_dir(disk, "/a/b");
    };
    let look = |disk: &mut Disk| read(disk, "/a/b/file").is_some();
    assert_eq!(outcomes(story, look), BTreeSet::from([false, true]));
    let story = |disk: &mut Disk| {
        story(disk);
        sync_dir(disk, "/a");
        sync_dir(disk, "/");
    };
    assert_eq!(outcomes(story, look), BTreeSet::from([true]));
}

#[test]
fn a_rename_is_there_as_a_whole_or_not_at_all() {
    let story = |directory: &'static str| {
        move |disk: &mut Disk| {
            disk.create_dir_all(Path::new("/a"), &mut Chance::new(0)).0.unwrap();
            for (path, bytes) in [("/new", b"new"), ("/old", b"old")] {
                let file = create(disk, path);
                write(disk, file, 0, bytes).unwrap();
                sync(disk, file).unwrap();
            }
            sync_dir(disk, "/");
            let target = if directory == "/" { "/old" } else { "/a/old" };
            disk.rename(Path::new("/new"), Path::new(target), &mut Chance::new(0)).0.unwrap();
        }
    };
    let look = |disk: &mut Disk| ["/new", "/old", "/a/old"].map(|path| read(disk, path));
    let (new, old) = (|| Some(b"new".to_vec()), || Some(b"old".to_vec()));
    let seen = outcomes(story("/"), look);
    assert_eq!(seen, BTreeSet::from([[new(), old(), None], [None, new(), None]]));
    let seen = outcomes(story("/a"), look);
    assert_eq!(seen, BTreeSet::from([[new(), old(), None], [None, old(), new()]]));
    for synced in ["/", "/a"] {
        let story = |disk: &mut Disk| {
            story("/a")(disk);
            sync_dir(disk, synced);
        };
        assert_eq!(outcomes(story, look), BTreeSet::from([[None, old(), new()]]));
    }
}

#[test]
fn a_removed_file_may_be_back_and_its_space_is_free() {
    let story = |disk: &mut Disk| {
        let file = create(disk, "/file");
        write(disk, file, 0, b"x").unwrap();
        sync(disk, file).unwrap();
        sync_dir(disk, "/");
        disk.remove_file(Path::new("/file"), &mut Chance::new(0)).0.unwrap();
        assert_eq!(read(disk, "/file"), None);
    };
    let look = |disk: &mut Disk| read(disk, "/file").is_some();
    assert_eq!(outcomes(story, look), BTreeSet::from([false, true]));
    let mut disk = disk();
    story(&mut disk);
    sync_dir(&mut disk, "/");
    assert_eq!(disk.used(), PAGE_BYTES, "it is still open");
    disk.kill();
    assert_eq!(disk.used(), 0);
}

#[test]
fn a_failed_sync_loses_what_it_was_for_although_the_next_one_succeeds() {
    let mut losses = BTreeSet::new();
    for seed in 0..50 {
        let mut disk = disk();
        let file = create(&mut disk, "/file");
        write(&mut disk, file, 0, &[1; 2 * SECTOR]).unwrap();
        sync(&mut disk, file).unwrap();
        sync_dir(&mut disk, "/");
        write(&mut disk, file, 0, &[2; 2 * SECTOR]).unwrap();
        disk.arm(Fault::once(FaultKind::SyncError));
        assert_eq!(code(disk.sync_data(file, &mut Chance::new(seed)).0), Some(libc::EIO));
        assert_eq!(read(&mut disk, "/file"), Some(vec![2; 2 * SECTOR]), "the page cache has it");
        sync(&mut disk, file).unwrap();
        let durable = disk.durable(Path::new("/file")).unwrap();
        disk.drop_caches();
        assert_eq!(read(&mut disk, "/file").as_ref(), Some(&durable), "without its cache it reads the disk");
        losses.insert((durable[0], durable[SECTOR]));
        assert_eq!(disk.struck().get("sync-error"), Some(&1));
    }
    assert_eq!(losses, BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
}

#[test]
fn what_a_failed_sync_lost_is_durable_when_it_was_written_again() {
    for seed in 0..50 {
        let mut disk = disk();
        let mut chance = Chance::new(seed);
        let file = create(&mut disk, "/file");
        sync_dir(&mut disk, "/");
        disk.allocate(file, 0, 5000, &mut chance).0.unwrap();
        write(&mut disk, file, 5000, &[1; 1000]).unwrap();
        disk.arm(Fault::once(FaultKind::SyncError));
        assert_eq!(code(disk.sync_data(file, &mut chance).0), Some(libc::EIO));
        if chance.coin() {
            disk.drop_caches();
            assert!(read(&mut disk, "/file").unwrap().len() >= 5000, "an allocation is not lost");
        }
        write(&mut disk, file, 5000, &[1; 1000]).unwrap();
        sync(&mut disk, file).unwrap();
        disk.crash(&mut chance);
        let bytes = read(&mut disk, "/file").unwrap();
        assert_eq!((bytes.len(), &bytes[5000..]), (6000, &[1; 1000][..]));
    }
}

#[test]
fn a_sync_covers_what_was_written_before_it_began() {
    let story = |disk: &mut Disk| {
        let mut chance = Chance::new(0);
        let file = create(disk, "/file");
        disk.set_len(file, 3 * SECTOR_BYTES, &mut chance).0.unwrap();
        sync(disk, file).unwrap();
        sync_dir(disk, "/");
        write(disk, file, 0, &[1; SECTOR]).unwrap();
        let ticket = disk.begin_sync(file, &mut chance).0.unwrap();
        write(disk, file, SECTOR_BYTES, &[2; SECTOR]).unwrap();
        disk.finish_sync(ticket, &mut chance).0.unwrap();
    };
    let look = |disk: &mut Disk| {
        let bytes = read(disk, "/file").unwrap();
        (bytes[0], bytes[SECTOR])
    };
    assert_eq!(outcomes(story, look), BTreeSet::from([(1, 0), (1, 2)]));
    // One that a crash overtakes never ends.
    let mut disk = disk();
    let mut chance = Chance::new(0);
    let file = create(&mut disk, "/file");
    let ticket = disk.begin_sync(file, &mut chance).0.unwrap();
    disk.crash(&mut chance);
    assert_eq!(code(disk.finish_sync(ticket, &mut chance).0), Some(libc::EBADF));
}

#[test]
fn a_sync_that_lies_makes_nothing_durable() {
    let story = |disk: &mut Disk| {
        let file = create(disk, "/file");
        sync_dir(disk, "/");
        disk.arm(Fault::always(FaultKind::LostSync));
        write(disk, file, 0, b"acknowledged").unwrap();
        sync(disk, file).unwrap();
    };
    let seen = outcomes(story, |disk| read(disk, "/file").unwrap() == b"acknowledged");
    assert_eq!(seen, BTreeSet::from([false, true]));
}

#[test]
fn a_misdirected_write_shows_when_the_cache_is_dropped() {
    let mut disk = disk();
    let file = create(&mut disk, "/file");
    write(&mut disk, file, 0, &[1; 8 * SECTOR]).unwrap();
    sync(&mut disk, file).unwrap();
    sync_dir(&mut disk, "/");
    disk.arm(Fault::once(FaultKind::MisdirectedWrite));
    write(&mut disk, file, 2 * SECTOR_BYTES, &[2; SECTOR]).unwrap();
    sync(&mut disk, file).unwrap();
    let seen = |bytes: Vec<u8>| bytes.chunks(SECTOR).position(|sector| sector == [2; SECTOR]);
    assert_eq!(seen(read(&mut disk, "/file").unwrap()), Some(2));
    disk.crash(&mut Chance::new(0));
    let landed = seen(read(&mut disk, "/file").unwrap());
    assert!(landed.is_some_and(|sector| sector != 2), "{landed:?}");
}

#[test]
fn rot_strikes_the_durable_byte() {
    let mut disk = disk();
    let file = create(&mut disk, "/file");
    write(&mut disk, file, 0, &[0xF0; SECTOR + 1]).unwrap();
    let path = Path::new("/file");
    assert_eq!(code(disk.rot(path, 3, 1)), Some(libc::EINVAL), "not durable yet");
    sync(&mut disk, file).unwrap();
    sync_dir(&mut disk, "/");
    disk.rot(path, 3, 0x81).unwrap();
    assert_eq!(read(&mut disk, "/file").unwrap()[3], 0x71);
    // A newer sector waits in the cache, and then takes the rotten one's place.
    write(&mut disk, file, 0, &[7; 10]).unwrap();
    disk.rot(path, 3, 0xFF).unwrap();
    assert_eq!(read(&mut disk, "/file").unwrap()[3], 7);
    sync(&mut disk, file).unwrap();
    assert_eq!(disk.durable(path).unwrap()[3], 7);
    assert_eq!(code(disk.rot(path, SECTOR_BYTES + 1, 1)), Some(libc::EINVAL));
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let mut chance = Chance::new(0);
    let mut disk = Disk::new(DiskFaults { capacity: Some(4 * PAGE_BYTES), ..DiskFaults::default() });
    let file = create(&mut disk, "/file");
    assert_eq!(code(disk.allocate(file, 0, 5 * PAGE_BYTES, &mut chance).0), Some(libc::ENOSPC));
    assert_eq!(disk.len(file, &mut chance).0.unwrap(), 0);
    disk.allocate(file, 0, 2 * PAGE_BYTES, &mut chance).0.unwrap();
    let other = create(&mut disk, "/other");
    assert_eq!(code(write(&mut disk, other, 100, &vec![1; 3 * PAGE_BYTES as usize])), Some(libc::ENOSPC));
    assert_eq!(disk.len(other, &mut chance).0.unwrap(), 2 * PAGE_BYTES);
    assert_eq!(disk.used(), 4 * PAGE_BYTES);
    write(&mut disk, file, 5000, &[1; 3000]).unwrap();
    assert_eq!(code(write(&mut disk, file, 2 * PAGE_BYTES, b"x")), Some(libc::ENOSPC));
    disk.remove_file(Path::new("/other"), &mut chance).0.unwrap();
    disk.close(other);
    sync_dir(&mut disk, "/");
    write(&mut disk, file, 2 * PAGE_BYTES, b"x").unwrap();
    disk.set_capacity(None);
    write(&mut disk, file, 1 << 30, b"x").unwrap();
}

#[test]
fn errors_of_reads_and_writes_strike_their_range_until_they_are_disarmed() {
    let mut disk = disk();
    let file = create(&mut disk, "/file");
    write(&mut disk, file, 0, &[1; 4 * SECTOR]).unwrap();
    disk.arm(Fault::always(FaultKind::ReadError { bytes: 100..200 }).at(Place::NameEnds("ile".to_owned())));
    let mut chance = Chance::new(0);
    let mut at = |disk: &mut Disk, offset| disk.read_at(file, &mut [0; 100], offset, &mut chance).0;
    assert_eq!(code(at(&mut disk, 150)), Some(libc::EIO));
    assert_eq!(at(&mut disk, 200).unwrap(), 100);
    disk.disarm(|fault| matches!(fault.kind, FaultKind::ReadError { .. }));
    assert_eq!(at(&mut disk, 150).unwrap(), 100);
    disk.arm(Fault::once(FaultKind::WriteError { bytes: 0..1 }));
    assert_eq!(code(write(&mut disk, file, 0, &[2; 4 * SECTOR])), Some(libc::EIO));
    let bytes = read(&mut disk, "/file").unwrap();
    assert!(bytes.chunks(SECTOR).all(|sector| sector == [1; SECTOR] || sector == [2; SECTOR]));
    write(&mut disk, file, 0, &[3; 4 * SECTOR]).unwrap();
}

#[test]
fn verbs_take_time_and_stalls_add_to_it() {
    let mut disk = Disk::new(DiskFaults::default());
    let mut chance = Chance::new(0);
    let file = create(&mut disk, "/file");
    assert!(disk.sync_data(file, &mut chance).1 >= Duration::from_micros(200));
    let stall = FaultKind::Stall { verb: Some(Verb::Sync), duration: Duration::from_secs(7) };
    disk.arm(Fault::sometimes(stall, Rate::ALWAYS));
    assert!(disk.sync_data(file, &mut chance).1 >= Duration::from_secs(7));
    assert!(disk.write_at(file, b"x", 0, &mut chance).1 < Duration::from_secs(7));
}

#[test]
fn names_fail_as_on_linux() {
    let mut disk = disk();
    let mut chance = Chance::new(0);
    create(&mut disk, "/file");
    disk.create_dir_all(Path::new("/a/b/../c"), &mut chance).0.unwrap();
    let mut open = |path: &str, options| code(disk.open(Path::new(path), options, &mut chance).0);
    let new = OpenOptions { create_new: true, ..OpenOptions::creating() };
    assert_eq!(open("/file", new), Some(libc::EEXIST));
    assert_eq!(open("/missing", OpenOptions::reading()), Some(libc::ENOENT));
    assert_eq!(open("/missing/file", OpenOptions::creating()), Some(libc::ENOENT));
    assert_eq!(open("/file/inside", OpenOptions::creating()), Some(libc::ENOTDIR));
    assert_eq!(open("/a", OpenOptions::writing()), Some(libc::EISDIR));
    assert_eq!(open("/", OpenOptions::creating()), Some(libc::EISDIR));
    assert_eq!(open(&"x".repeat(256), OpenOptions::creating()), Some(libc::ENAMETOOLONG));
    assert_eq!(open("/a/../file", OpenOptions::reading()), None);
    let mut rename = |from: &str, to: &str| code(disk.rename(Path::new(from), Path::new(to), &mut chance).0);
    assert_eq!(rename("/missing", "/x"), Some(libc::ENOENT));
    assert_eq!(rename("/file", "/missing/x"), Some(libc::ENOENT));
    assert_eq!(rename("/file", "/a"), Some(libc::EISDIR));
    assert_eq!(rename("/a", "/file"), Some(libc::ENOTDIR));
    assert_eq!(rename("/a", "/a/b/x"), Some(libc::EINVAL));
    assert_eq!(rename("/a/b", "/a"), Some(libc::ENOTEMPTY));
    assert_eq!(rename("/a/b", "/a/c"), None);
    assert_eq!(rename("/file", "/file"), None);
    assert_eq!(code(disk.remove_file(Path::new("/a"), &mut chance).0), Some(libc::EISDIR));
    assert_eq!(code(disk.create_dir_all(Path::new("/file"), &mut chance).0), Some(libc::EEXIST));
    assert_eq!(code(disk.create_dir_all(Path::new("/file/x"), &mut chance).0), Some(libc::ENOTDIR));
    assert_eq!(code(disk.read_dir(Path::new("/file"), &mut chance).0), Some(libc::ENOTDIR));
    let names = disk.read_dir(Path::new("/"), &mut chance).0.unwrap();
    assert_eq!(names, [Path::new("/a"), Path::new("/file")]);
}

#[test]
fn large_preallocated_files_take_no_memory_and_crash_at_once() {
    let mut disk = disk();
    let mut chance = Chance::new(0);
    let files: Vec<_> = (0..16).map(|number| create(&mut disk, &format!("/{number}"))).collect();
    for file in &files {
        disk.allocate(*file, 0, 1 << 30, &mut chance).0.unwrap();
        sync(&mut disk, *file).unwrap();
    }
    sync_dir(&mut disk, "/");
    assert_eq!(disk.used(), 16 << 30);
    for crash in 0..1000 {
        let file = create(&mut disk, &format!("/{}", crash % 16));
        write(&mut disk, file, crash << 16, &[1; 5000]).unwrap();
        disk.crash(&mut chance);
    }
    assert_eq!(disk.used(), 16 << 30);
}

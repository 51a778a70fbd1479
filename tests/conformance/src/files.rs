//! Files: ranges, ends, durability verbs, directories, errors.

use crate::harness::{Spawn, assert_patterned, directory, everywhere, is_simulated, pattern, patterned};
use futures_lite::future::poll_once;
use shroud_runtime::flow::{join_all, try_join_all};
use shroud_runtime::{Backend, BlockFile, FileKind, OpenOptions, Runtime, RuntimeExt};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Reads so many bytes from `offset`, as many as there are.
async fn read(file: &impl BlockFile, offset: u64, length: usize) -> Vec<u8> {
    let lent = file.read_at(vec![0xEE; length], offset).await;
    let count = lent.result.expect("it reads");
    let mut bytes = lent.buffer;
    assert_eq!(bytes.len(), length, "the whole buffer comes back");
    bytes.truncate(count);
    bytes
}

/// Writes `bytes` at `offset`.
async fn write(file: &impl BlockFile, offset: u64, bytes: Vec<u8>) {
    file.write_at(bytes, offset).await.result.expect("it writes");
}

/// Ranges written by many tasks at once, in any order, are what is read after the file was opened again.
pub fn concurrent_ranges_are_read_back_after_reopening<B: Backend>(backend: &B) {
    const RANGES: u64 = 64;
    /// Not a multiple of any block size.
    const RANGE: usize = 10_007;
    everywhere(backend, |rt| async move {
        let (_directory, path) = directory(&rt).await;
        let path = path.join("ranges");
        let file = Arc::new(rt.open(&path, OpenOptions::creating()).await.expect("it is created"));
        let tasks: Vec<_> = (0..RANGES)
            .map(|number| number * 37 % RANGES)
            .map(|range| {
                let file = Arc::clone(&file);
                rt.start("writes a range", async move {
                    let offset = range * RANGE as u64;
                    write(&*file, offset, patterned(6, offset, RANGE)).await;
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
        file.sync_data().await.expect("it syncs");
        file.sync_all().await.expect("it syncs");
        drop(file);
        let file = rt.open(&path, OpenOptions::reading()).await.expect("it is opened again");
        assert_eq!(file.len().await.expect("it has a length"), RANGES * RANGE as u64);
        let ranges = join_all((0..RANGES).map(|range| read(&file, range * RANGE as u64, RANGE))).await;
        for (range, bytes) in (0..).zip(ranges) {
            assert_eq!(bytes.len(), RANGE);
            assert_patterned(6, range * RANGE as u64, &bytes);
        }
        let whole = read(&file, 0, RANGE * RANGES as usize).await;
        assert_patterned(6, 0, &whole);
        if !is_simulated(&rt) {
            // What another process sees.
            let seen = std::fs::read(&path).expect("it is there");
            assert!(seen == whole);
        }
    });
}

/// Files and directories are told apart; a change shows in length and time, reading does not.
pub fn status_tells_kind_length_and_change<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (_directory, path) = directory(&rt).await;
        let before = rt.unix_time();
        let file = rt.open(&path.join("file"), OpenOptions::creating()).await.expect("it is created");
        let fresh = file.status().await.expect("it has a status");
        assert_eq!((fresh.kind, fresh.length), (FileKind::Regular, 0));
        // File systems date by the kernel's tick, which may lie a little in the past.
        let tick = Duration::from_millis(50);
        assert!(
            fresh.modified + tick >= before && fresh.modified <= rt.unix_time() + tick,
            "{fresh:?} {before:?}"
        );
        rt.sleep(tick).await;
        write(&file, 10, vec![1; 90]).await;
        let written = file.status().await.expect("it has a status");
        assert_eq!(written.length, 100);
        assert!(written.modified > fresh.modified, "{written:?} {fresh:?}");
        read(&file, 0, 100).await;
        let again = rt.open(&path.join("file"), OpenOptions::reading()).await.expect("it is opened again");
        assert_eq!(again.status().await.expect("it has a status"), written);
        rt.sleep(tick).await;
        file.set_len(50).await.expect("it is cut");
        let cut = again.status().await.expect("it has a status");
        assert_eq!(cut.length, 50);
        assert!(cut.modified > written.modified);
        let folder =
            rt.open(&path, OpenOptions::reading()).await.expect("directories are opened for reading");
        assert_eq!(folder.status().await.expect("it has a status").kind, FileKind::Directory);
    });
}

/// A read is short at the end of the file and nowhere else.
pub fn short_reads_only_at_the_end<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (_directory, path) = directory(&rt).await;
        let file = rt.open(&path.join("file"), OpenOptions::creating()).await.expect("it is created");
        assert!(file.is_empty().await.expect("it has a length"));
        assert_eq!(read(&file, 0, 100).await, b"");
        write(&file, 0, patterned(1, 0, 1000)).await;
        assert_eq!(file.len().await.expect("it has a length"), 1000);
        for (offset, length, expected) in [
            (0, 1000, 1000),
            (0, 1001, 1000),
            (990, 100, 10),
            (999, 1, 1),
            (1000, 1, 0),
            (5000, 10, 0),
            (500, 0, 0),
        ] {
            let bytes = read(&file, offset, length).await;
            assert_eq!(bytes.len(), expected, "{length} bytes from {offset}");
            assert_patterned(1, offset, &bytes);
        }
        // Writing past the end leaves zeros in between.
        write(&file, 3000, vec![1; 10]).await;
        assert_eq!(read(&file, 1000, 2000).await, vec![0; 2000]);
        assert_eq!(read(&file, 3000, 100).await, vec![1; 10]);
        write(&file, 3005, vec![2; 2]).await;
        assert_eq!(read(&file, 3000, 100).await, [1, 1, 1, 1, 1, 2, 2, 1, 1, 1]);
        write(&file, 4000, Vec::new()).await;
        assert_eq!(file.len().await.expect("it has a length"), 3010, "an empty write extends nothing");
    });
}

/// Allocation extends the file with zeros and keeps what is there.
pub fn allocated_space_reads_as_zero<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (_directory, path) = directory(&rt).await;
        let path = path.join("file");
        let file = rt.open(&path, OpenOptions::creating()).await.expect("it is created");
        write(&file, 0, patterned(1, 0, 100)).await;
        file.allocate(0, 1 << 20).await.expect("it allocates");
        assert_eq!(file.len().await.expect("it has a length"), 1 << 20);
        assert_patterned(1, 0, &read(&file, 0, 100).await);
        assert!(read(&file, 100, (1 << 20) - 100).await.iter().all(|byte| *byte == 0));
        write(&file, 5000, patterned(1, 5000, 300)).await;
        file.allocate(4000, 4000).await.expect("it allocates what is there already");
        assert_eq!(file.len().await.expect("it has a length"), 1 << 20);
        file.allocate(1 << 20, 1000).await.expect("it allocates behind the end");
        file.sync_data().await.expect("it syncs");
        drop(file);
        let file = rt.open(&path, OpenOptions::writing()).await.expect("it is opened again");
        assert_eq!(file.len().await.expect("it has a length"), (1 << 20) + 1000);
        assert_patterned(1, 5000, &read(&file, 5000, 300).await);
        assert!(read(&file, 6000, 1 << 20).await.iter().all(|byte| *byte == 0));
        if !is_simulated(&rt) {
            use std::os::unix::fs::MetadataExt as _;
            let blocks = std::fs::metadata(&path).expect("it is there").blocks();
            assert!(blocks * 512 >= 1 << 20, "the space is taken: {blocks} blocks");
        }
    });
}

/// Shorter loses the end; longer gains zeros.
pub fn set_len_cuts_and_extends<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (_directory, path) = directory(&rt).await;
        let file = rt.open(&path.join("file"), OpenOptions::creating()).await.expect("it is created");
        write(&file, 0, patterned(1, 0, 10_000)).await;
        for (length, kept) in [(5000, 5000), (8000, 5000), (0, 0), (10, 0)] {
            file.set_len(length).await.expect("it is set");
            assert_eq!(file.len().await.expect("it has a length"), length);
            let bytes = read(&file, 0, 10_000).await;
            assert_eq!(bytes.len() as u64, length);
            assert_patterned(1, 0, &bytes[..kept]);
            assert!(bytes[kept..].iter().all(|byte| *byte == 0));
        }
    });
}

/// The buffer that was lent is the one that comes back, also with an error.
pub fn buffers_come_back<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (_directory, path) = directory(&rt).await;
        let path = path.join("file");
        let file = rt.open(&path, OpenOptions::creating()).await.expect("it is created");
        let mut buffer = Vec::with_capacity(10_000);
        buffer.extend(patterned(1, 0, 5000));
        let lent = file.write_at(buffer, 0).await;
        lent.result.expect("it writes");
        assert_eq!((lent.buffer.len(), lent.buffer.capacity()), (5000, 10_000));
        assert_patterned(1, 0, &lent.buffer);
        let lent = file.read_at(lent.buffer, 4000).await;
        assert_eq!(lent.result.expect("it reads"), 1000);
        assert_eq!((lent.buffer.len(), lent.buffer.capacity()), (5000, 10_000));
        assert_patterned(1, 4000, &lent.buffer[..1000]);
        let reading = rt.open(&path, OpenOptions::reading()).await.expect("it is opened");
        let lent = reading.write_at(lent.buffer, 0).await;
        assert!(lent.result.is_err(), "a file that was opened for reading takes no writes");
        assert_eq!(lent.buffer.len(), 5000);
    });
}

/// Create, create-new, truncate and read-only mean what they say.
pub fn open_options_are_honoured<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (_directory, path) = directory(&rt).await;
        let path = path.join("file");
        let new = OpenOptions { create_new: true, ..OpenOptions::creating() };
        let file = rt.open(&path, new).await.expect("it is created");
        write(&file, 0, b"contents".to_vec()).await;
        let error = rt.open(&path, new).await.err().expect("it exists");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let file = rt.open(&path, OpenOptions::creating()).await.expect("it is opened");
        assert_eq!(read(&file, 0, 100).await, b"contents");
        let cut = OpenOptions { truncate: true, ..OpenOptions::writing() };
        let file = rt.open(&path, cut).await.expect("it is opened");
        assert!(file.is_empty().await.expect("it has a length"));
    });
}

/// Directories are made, listed in order, renamed in, removed from and synced.
pub fn directories_are_listed_renamed_and_removed<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (_directory, path) = directory(&rt).await;
        let path = path.join("one/two");
        rt.create_dir_all(&path).await.expect("it is made");
        rt.create_dir_all(&path).await.expect("it is there");
        let names = ["zeta", "alpha", "mid", "10", "2"];
        try_join_all(names.map(|name| {
            let (rt, path) = (&rt, path.join(name));
            async move { rt.open(&path, OpenOptions::creating()).await }
        }))
        .await
        .expect("they are created");
        let list = |paths: Vec<PathBuf>| -> Vec<String> {
            let name =
                |path: &PathBuf| path.file_name().expect("it has a name").to_string_lossy().into_owned();
            paths.iter().map(name).collect()
        };
        let entries = rt.read_dir(&path).await.expect("it is listed");
        assert!(entries.iter().all(|entry| entry.starts_with(&path)));
        assert_eq!(list(entries), ["10", "2", "alpha", "mid", "zeta"]);
        rt.rename(&path.join("mid"), &path.join("beta")).await.expect("it is renamed");
        rt.rename(&path.join("2"), &path.join("10")).await.expect("it replaces");
        rt.remove_file(&path.join("zeta")).await.expect("it is removed");
        rt.sync_dir(&path).await.expect("it syncs");
        assert_eq!(list(rt.read_dir(&path).await.expect("it is listed")), ["10", "alpha", "beta"]);
    });
}

/// What is missing is an error of that kind, and nothing is made by asking.
pub fn missing_files_are_errors<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (_directory, path) = directory(&rt).await;
        let missing = path.join("missing");
        let inside = missing.join("inside");
        let kinds = [
            rt.open(&missing, OpenOptions::reading()).await.err(),
            rt.open(&missing, OpenOptions::writing()).await.err(),
            rt.open(&inside, OpenOptions::creating()).await.err(),
            rt.read_dir(&missing).await.err(),
            rt.rename(&missing, &path.join("other")).await.err(),
            rt.remove_file(&missing).await.err(),
            rt.sync_dir(&missing).await.err(),
        ]
        .map(|error| error.expect("it is missing").kind());
        assert_eq!(kinds, [ErrorKind::NotFound; 7]);
        assert_eq!(rt.read_dir(&path).await.expect("it is listed"), Vec::<PathBuf>::new());
    });
}

/// Operations that are dropped midway leave every byte either as before or as written, whenever they take place, and
/// harm no later operation.
pub fn dropped_operations_harm_nothing<B: Backend>(backend: &B) {
    everywhere(backend, |rt| async move {
        let (_directory, path) = directory(&rt).await;
        let file = rt.open(&path.join("file"), OpenOptions::creating()).await.expect("it is created");
        file.set_len(100 * 1000).await.expect("it is set");
        for number in 0..100 {
            drop(poll_once(file.write_at(patterned(1, number * 1000, 1000), number * 1000)).await);
            drop(poll_once(file.read_at(vec![0; 5000], number * 500)).await);
            drop(poll_once(file.sync_data()).await);
        }
        // Some are still under way now.
        write(&file, 100_000, patterned(2, 0, 100_000)).await;
        for _ in 0..2 {
            let bytes = read(&file, 0, 100_000).await;
            for (position, byte) in (0..).zip(bytes) {
                assert!(byte == 0 || byte == pattern(1, position), "byte {position} is {byte}");
            }
            assert_patterned(2, 0, &read(&file, 100_000, 100_000).await);
            rt.sleep(Duration::from_millis(20)).await;
        }
        file.sync_all().await.expect("it syncs");
        assert_eq!(file.len().await.expect("it has a length"), 200_000);
    });
}

//! The simulated store: under crashes and faults, and against fjall.

use crate::batches::Batches;
use crate::child::{self, Orders, kill_at};
use shroud_fjall::FjallStore;
use shroud_io_sim::chance::Chance;
use shroud_io_sim::disk::{Atlas, Claim, Disk, DiskFaults, Place};
use shroud_ledger::store::{Store, StoreError};
use shroud_store_sim::{DiskFiles, SimStore};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

const DIRECTORY: &str = "/data/store";
const LOG: &str = "/data/store/store.log";

/// A simulated disk that outlives its stores.
#[derive(Clone, Default)]
struct Machine {
    disk: Arc<Mutex<Disk>>,
}

impl Machine {
    fn open(&self, seed: u64) -> Result<SimStore, StoreError> {
        let files = DiskFiles::new(Arc::clone(&self.disk), Chance::new(seed).split("disk"));
        SimStore::open(files, Path::new(DIRECTORY))
    }

    fn on<T>(&self, verb: impl FnOnce(&mut Disk) -> T) -> T {
        verb(&mut self.disk.lock().unwrap())
    }
}

/// What was written and synced of a chain.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// The next height to write.
    next: u64,
    /// Heights below this were synced.
    synced: u64,
    /// Heights below this may have been written.
    tried: u64,
}

impl Progress {
    /// Writes the next batch and, by chance, syncs.
    fn step(&mut self, store: &dyn Store, batches: &Batches, chance: &mut Chance) -> Result<(), StoreError> {
        self.tried = self.tried.max(self.next + 1);
        store.write(&batches.batch(self.next))?;
        self.next += 1;
        if chance.below(3) == 0 {
            store.sync()?;
            self.synced = self.next;
        }
        Ok(())
    }

    /// Checks a store that was opened again, and goes on from where it is.
    fn resume(&mut self, store: &dyn Store, batches: &Batches) -> Result<(), StoreError> {
        self.next = batches.check(store, self.tried)?.map_or(0, |height| height + 1);
        Ok(())
    }
}

#[test]
fn crashes_leave_a_whole_earlier_state_and_all_that_was_synced() {
    let mut heights = BTreeSet::new();
    for seed in 0..60 {
        let (machine, mut chance) = (Machine::default(), Chance::new(seed));
        // Large values: compaction, and frames of many sectors.
        let batches = Batches::new(seed, if seed % 4 == 0 { 4000 } else { 600 });
        let mut progress = Progress::default();
        for _ in 0..12 {
            let store = machine.open(seed).unwrap();
            progress.resume(&store, &batches).unwrap();
            assert!(progress.next >= progress.synced, "seed {seed}: {progress:?}");
            heights.insert(progress.next - progress.synced);
            for _ in 0..chance.below(8) {
                progress.step(&store, &batches, &mut chance).unwrap();
            }
            drop(store);
            machine.on(|disk| match chance.coin() {
                true => drop(disk.crash(&mut chance)),
                false => drop(disk.kill()),
            });
        }
    }
    assert!(heights.len() > 2, "a crash keeps more or less of what was not synced: {heights:?}");
}

#[test]
fn a_log_that_is_mostly_history_is_compacted() {
    let machine = Machine::default();
    let batches = Batches::new(1, 3000);
    let mut progress = Progress::default();
    let mut largest = 0;
    let store = machine.open(1).unwrap();
    for _ in 0..150 {
        progress.step(&store, &batches, &mut Chance::new(0)).unwrap();
        largest = largest.max(store.log_bytes());
    }
    let written: u64 = (0..150)
        .map(|height| batches.batch(height))
        .flat_map(|batch| {
            batch.changes().map(|change| change.value.as_ref().map_or(0, Vec::len) as u64).collect::<Vec<_>>()
        })
        .sum();
    assert!(written > 2 * largest, "{written} bytes were written, and the log had {largest}");
    assert_eq!(batches.check(&store, 150).unwrap(), Some(149));
    machine.on(|disk| disk.crash(&mut Chance::new(5)));
    drop(store);
    let store = machine.open(1).unwrap();
    assert!(batches.check(&store, 150).unwrap().is_some_and(|height| height + 1 >= progress.synced));
}

/// Runs a store on a failing disk until it stops, and says with what.
fn until_it_stops(
    machine: &Machine,
    seed: u64,
    batches: &Batches,
    progress: &mut Progress,
) -> Result<(), StoreError> {
    let mut chance = Chance::new(seed).split("steps");
    let store = machine.open(seed)?;
    progress.resume(&store, batches)?;
    for _ in 0..60 {
        progress.step(&store, batches, &mut chance)?;
    }
    batches.check(&store, progress.tried).map(drop)
}

#[test]
fn what_the_atlas_claims_to_survive_is_survived() {
    let mut stopped = BTreeSet::new();
    for seed in 0..120 {
        let (machine, mut chance) = (Machine::default(), Chance::new(seed));
        let (batches, mut progress) = (Batches::new(seed, 700), Progress::default());
        let mut plan = Atlas::draw(Claim::Stops, &Place::Under(DIRECTORY.into()), &mut chance);
        if seed % 3 == 0 {
            plan.capacity = Some(chance.between(0, 60_000));
        }
        machine.on(|disk| disk.set_faults(plan));
        if let Err(error) = until_it_stops(&machine, seed, &batches, &mut progress) {
            let text = error.to_string();
            assert!(matches!(error, StoreError::Database(_)), "seed {seed}: {text}");
            assert!(text.contains(DIRECTORY) || text.contains("/data"), "seed {seed}: {text}");
            stopped.insert(text.split(": ").nth(2).unwrap_or_default().to_owned());
        }
        machine.on(|disk| {
            disk.set_faults(DiskFaults::default());
            match chance.below(3) {
                0 => drop(disk.kill()),
                1 => drop(disk.crash(&mut chance)),
                _ => {
                    disk.kill();
                    disk.drop_caches();
                }
            }
        });
        // The cause is gone: it goes on, and what was synced is there, also after one more crash.
        for _ in 0..2 {
            let store = machine.open(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            progress.resume(&store, &batches).unwrap();
            assert!(progress.next >= progress.synced, "seed {seed}: {progress:?}");
            for _ in 0..5 {
                progress.step(&store, &batches, &mut chance).unwrap();
            }
            machine.on(|disk| disk.crash(&mut chance));
        }
    }
    assert!(stopped.len() >= 2, "EIO and ENOSPC: {stopped:?}");
}

#[test]
fn beyond_the_atlas_a_store_refuses_and_never_answers_wrongly() {
    let (mut refused, mut went_on) = (0, 0);
    for seed in 0..150 {
        let (machine, mut chance) = (Machine::default(), Chance::new(seed));
        let (batches, mut progress) = (Batches::new(seed, 700), Progress::default());
        let mut plan = Atlas::draw(Claim::Refuses, &Place::Under(DIRECTORY.into()), &mut chance);
        if seed % 2 == 0 {
            // It lies, or errs, from then on.
            plan.faults.iter_mut().for_each(|fault| fault.times = None);
        }
        machine.on(|disk| disk.set_faults(plan));
        let mut failed = until_it_stops(&machine, seed, &batches, &mut progress);
        machine.on(|disk| {
            disk.set_faults(DiskFaults::default());
            disk.crash(&mut chance)
        });
        if failed.is_ok() {
            // `check` panics when an answer is wrong.
            failed = machine.open(seed).and_then(|store| batches.check(&store, progress.tried)).map(drop);
        }
        match failed {
            Ok(()) => went_on += 1,
            Err(StoreError::Damaged(text)) => {
                assert!(text.contains("offset"), "seed {seed}: {text}");
                refused += 1;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(refused > 10 && went_on > 0, "{refused} refused, {went_on} went on");
}

#[test]
fn any_byte_that_rots_is_found_or_does_not_matter() {
    let mut found = 0;
    for seed in 0..300 {
        let (machine, mut chance) = (Machine::default(), Chance::new(seed));
        let (batches, mut progress) = (Batches::new(seed % 5, 300), Progress::default());
        let store = machine.open(seed).unwrap();
        for _ in 0..10 {
            progress.step(&store, &batches, &mut chance).unwrap();
        }
        store.sync().unwrap();
        let length = store.log_bytes();
        // The header's page is mostly empty.
        let offset = if seed % 5 == 0 { chance.below(1100) } else { chance.between(4096, length - 1) };
        machine.on(|disk| disk.rot(Path::new(LOG), offset, 1 << chance.below(8))).unwrap();
        let still_open = batches.check(&store, 10);
        drop(store);
        machine.on(Disk::kill);
        let reopened = machine.open(seed).and_then(|store| batches.check(&store, 10));
        for answer in [still_open, reopened] {
            match answer {
                Ok(height) => assert_eq!(height, Some(9), "seed {seed}, offset {offset}"),
                Err(StoreError::Damaged(text)) => {
                    assert!(text.contains(LOG), "{text}");
                    found += 1;
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
    }
    assert!(found > 300, "{found}");
}

#[test]
fn the_simulated_store_and_fjall_give_the_same_answers() {
    for seed in 0..8 {
        let directory = tempfile::tempdir().unwrap();
        let (machine, mut chance) = (Machine::default(), Chance::new(seed));
        let batches = Batches::new(seed, 2000);
        let mut next = 0;
        for _ in 0..4 {
            let simulated = machine.open(seed).unwrap();
            let fjall = FjallStore::open(directory.path()).unwrap();
            for store in [&simulated as &dyn Store, &fjall] {
                let height = batches.check(store, next + 3).unwrap();
                assert_eq!(height.map_or(0, |height| height + 1), next, "seed {seed}");
            }
            for _ in 0..chance.between(1, 8) {
                for store in [&simulated as &dyn Store, &fjall] {
                    store.write(&batches.batch(next)).unwrap();
                }
                next += 1;
            }
            for store in [&simulated as &dyn Store, &fjall] {
                store.sync().unwrap();
                assert_eq!(batches.check(store, next + 3).unwrap(), next.checked_sub(1));
            }
            drop(simulated);
            machine.on(|disk| disk.crash(&mut chance));
        }
    }
}

/// Progress is reported as twice the height that was written, and one more when it was synced.
const SYNCED: u64 = 1;

fn is_synced(seed: u64, height: u64) -> bool {
    Chance::new(seed).split_at("sync", height).below(3) == 0
}

#[test]
#[ignore = "the child of the test below"]
fn child_with_fjall() {
    let Some(Orders { seed, directory }) = child::orders() else { return };
    let batches = Batches::new(seed, 2000);
    let store = FjallStore::open(&directory).unwrap();
    for height in 0.. {
        store.write(&batches.batch(height)).unwrap();
        child::report(2 * height);
        if is_synced(seed, height) {
            store.sync().unwrap();
            child::report(2 * height + SYNCED);
        }
    }
}

#[test]
fn what_was_synced_before_kill_9_is_in_both_stores() {
    for seed in 0..6 {
        let directory = tempfile::tempdir().unwrap();
        let orders = Orders { seed, directory: directory.path().to_owned() };
        let mut chance = Chance::new(seed);
        let last = kill_at("stores::child_with_fjall", &orders, 2 * chance.between(3, 60));
        let written = last / 2;
        // A sync of `last` itself counts when it was reported.
        let synced = (0..=written)
            .rev()
            .find(|height| is_synced(seed, *height) && (*height < written || last % 2 == SYNCED));
        let batches = Batches::new(seed, 2000);
        let fjall = FjallStore::open(directory.path()).unwrap();
        // The child was killed while it wrote the next one, perhaps.
        let in_fjall = batches.check(&fjall, written + 1).unwrap();
        assert!(in_fjall >= synced, "seed {seed}: fjall has {in_fjall:?} of {synced:?}");

        let machine = Machine::default();
        let store = machine.open(seed).unwrap();
        for height in 0..=written {
            store.write(&batches.batch(height)).unwrap();
            if is_synced(seed, height) && Some(height) <= synced {
                store.sync().unwrap();
            }
        }
        drop(store);
        machine.on(|disk| disk.crash(&mut chance));
        let simulated = machine.open(seed).unwrap();
        let in_simulated = batches.check(&simulated, written + 1).unwrap();
        assert!(
            in_simulated >= synced,
            "seed {seed}: the simulated store has {in_simulated:?} of {synced:?}"
        );

        // Both go on, and agree.
        for (store, height) in [(&simulated as &dyn Store, in_simulated), (&fjall, in_fjall)] {
            for height in height.map_or(0, |height| height + 1)..written + 5 {
                store.write(&batches.batch(height)).unwrap();
            }
            store.sync().unwrap();
            assert_eq!(batches.check(store, written + 5).unwrap(), Some(written + 4));
        }
    }
}

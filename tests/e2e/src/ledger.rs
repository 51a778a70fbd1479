//! The durable ledger: what is acknowledged survives, what is damaged is refused, and every way of batching comes to the same.
//!
//! Recipe: a directory of its own (`tempfile`), `open`, `submit`, then `abort` for a crash or `stop` for an orderly end, and open
//! again. `forget_store` makes the journal tell everything.

pub mod faulty;
pub mod support;

use faulty::Faulty;
use futures_util::future::join_all;
use shroud::crypto::Address;
use shroud::dev;
use shroud::keystone::{
    AuditError, Config, Inclusion, JournalError, KeepSegments, Ledger, OpenError, SubmitError, verify,
};
use shroud::ledger::apply::Rejection;
use shroud::ledger::journal::{HEADER_BYTES, Reason};
use shroud::ledger::receipt::Status;
use shroud::ledger::transaction::{Action, VerifiedTransaction};
use shroud::ledger::{GCC, Genesis, Height, Nonce};
use shroud::runtime::sync::OnceCell;
use shroud::runtime::{Backend, Runtime, RuntimeExt};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use support::{bulky, config, forget_store, native, open, open_with, segments, transfer, try_open};

const COUNTER: &[u8] = include_bytes!("../../../contracts/counter/counter.wasm");

async fn submit_all<R: Runtime>(
    ledger: &Ledger<R>,
    transactions: impl IntoIterator<Item = VerifiedTransaction>,
) -> Vec<Inclusion> {
    let answers = join_all(transactions.into_iter().map(|transaction| ledger.submit(transaction))).await;
    answers.into_iter().map(|answer| answer.expect("an acknowledgement")).collect()
}

/// Flips a byte of a file.
fn damage(path: &Path, offset: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).expect("the file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x40], offset).expect("a byte");
}

/// What was acknowledged is there after an abrupt end, with and without the store.
pub async fn acknowledged_transfers_survive<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = open(&runtime, directory.path()).await;
    let included = submit_all(
        &ledger,
        (0..10).flat_map(|from| (0..5).map(move |nonce| transfer(from, nonce, from + 1, 7))),
    )
    .await;
    assert!(included.iter().all(|included| included.receipt.status == Status::Success));
    let (before, balance) = (ledger.snapshot(), ledger.balance(dev::native_address(10), GCC).unwrap());
    assert_eq!(balance, 35);
    ledger.abort().await;
    drop(ledger);
    for round in 0..2 {
        let ledger = open(&runtime, directory.path()).await;
        let after = ledger.snapshot();
        assert_eq!((after.hash, after.header), (before.hash, before.header), "round {round}");
        assert_eq!(after.tree.root(), before.header.state_root);
        for one in &included {
            let found = ledger.inclusion(one.receipt.transaction).await.unwrap();
            assert_eq!(found.as_ref(), Some(one));
            let found = ledger.transaction(one.receipt.transaction).await.unwrap().unwrap();
            assert_eq!(shroud::crypto::keccak256(&found.bytes), one.receipt.transaction);
            let block = ledger.block_at(one.receipt.height).await.unwrap().unwrap();
            assert_eq!(block.hashes[one.receipt.index as usize], one.receipt.transaction);
            assert_eq!(ledger.block_by_hash(block.hash).await.unwrap(), Some(block));
        }
        assert_eq!(ledger.pending_nonce(dev::native_address(3)).unwrap(), Nonce(5));
        ledger.stop().await.unwrap();
        drop((ledger, after));
        forget_store(directory.path());
    }
}

/// A record that a crash left half written is cut wherever it ends, and the next one goes over it.
pub async fn a_torn_tail_is_cut<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = open(&runtime, directory.path()).await;
    for nonce in 0..3 {
        ledger.submit(transfer(0, nonce, 1, 1)).await.unwrap();
    }
    let end = HEADER_BYTES as u64 + ledger.metrics().journal_bytes.get();
    ledger.abort().await;
    drop(ledger);
    let segment = segments(directory.path()).pop().unwrap();
    let whole = std::fs::read(&segment).unwrap();
    let record = (end - HEADER_BYTES as u64) / 3;
    assert_eq!(record % 512, 0, "records of the same length");
    let start = end - record;
    let last = (start..end).rev().find(|offset| whole[*offset as usize] != 0).unwrap();
    let genesis = dev::genesis();
    for cut in (start..end).step_by(23).chain([start + 1, last, last + 1]) {
        let mut torn = whole.clone();
        torn[cut as usize..end as usize].fill(0);
        std::fs::write(&segment, &torn).unwrap();
        let audit = verify(&runtime, directory.path(), &genesis).await.unwrap();
        let expected = if cut > last { 3 } else { 2 };
        assert_eq!(audit.height, Height(expected), "cut at {}", cut - start);
    }
    for cut in [start, start + 100, last] {
        let mut torn = whole.clone();
        torn[cut as usize..end as usize].fill(0);
        std::fs::write(&segment, &torn).unwrap();
        forget_store(directory.path());
        let ledger = open(&runtime, directory.path()).await;
        assert_eq!(ledger.snapshot().header.height, Height(2));
        let included = ledger.submit(transfer(0, 2, 2, 5)).await.unwrap();
        assert_eq!(included.receipt.height, Height(3));
        ledger.abort().await;
        drop(ledger);
        let ledger = open(&runtime, directory.path()).await;
        assert_eq!(ledger.inclusion(included.receipt.transaction).await.unwrap(), Some(included));
        ledger.stop().await.unwrap();
    }
}

/// Damage in front of good records is an error that says where, and is never skipped.
pub async fn damage_is_refused<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = open(&runtime, directory.path()).await;
    for nonce in 0..3 {
        ledger.submit(transfer(0, nonce, 1, 1)).await.unwrap();
    }
    let record = ledger.metrics().journal_bytes.get() / 3;
    ledger.stop().await.unwrap();
    drop(ledger);
    let segment = segments(directory.path()).pop().unwrap();
    let start = HEADER_BYTES as u64 + record;
    damage(&segment, start + 200);
    let error = try_open(&runtime, directory.path(), config()).await.unwrap_err();
    let OpenError::Journal(JournalError::Damaged(found)) = &error else { panic!("{error}") };
    assert_eq!((found.segment, found.offset), (0, start), "{error}");
    assert!(matches!(found.reason, Reason::BadRecord { height: Height(2), later: Height(3), .. }), "{error}");
    damage(&segment, start + 200);
    damage(&segment, 20);
    let error = try_open(&runtime, directory.path(), config()).await.unwrap_err();
    assert!(error.to_string().contains("journal segment 0 is damaged at offset 0"), "{error}");
    damage(&segment, 20);
    open(&runtime, directory.path()).await.stop().await.unwrap();
}

/// Directories that do not belong together are told apart.
pub async fn wrong_directories_are_refused<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let ledger = open(&runtime, path).await;
    ledger.submit(transfer(0, 0, 1, 1)).await.unwrap();
    ledger.stop().await.unwrap();
    drop(ledger);

    let other = dev::genesis_json().replace("\"chain_id\": 21320", "\"chain_id\": 21321");
    let other = Genesis::from_json(other.as_bytes()).unwrap();
    let error = open_with(&runtime, path, other, config()).await.unwrap_err();
    assert!(matches!(error, OpenError::Journal(JournalError::OtherChain { .. })), "{error}");

    // Process 1 is always there.
    std::fs::write(path.join("LOCK"), "1\n").unwrap();
    let error = try_open(&runtime, path, config()).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse { process: 1, .. }), "{error}");
    std::fs::remove_file(path.join("LOCK")).unwrap();

    let segment = segments(path).pop().unwrap();
    let aside = path.join("aside");
    std::fs::rename(&segment, &aside).unwrap();
    let error = try_open(&runtime, path, config()).await.unwrap_err();
    assert!(matches!(error, OpenError::StoreAhead { store: Height(1), journal: Height(0), .. }), "{error}");
    std::fs::rename(&aside, &segment).unwrap();
    std::fs::write(path.join("journal/00000000000000000002.journal"), "").unwrap();
    let error = try_open(&runtime, path, config()).await.unwrap_err();
    assert!(matches!(error, OpenError::Journal(JournalError::Missing { missing: 1 })), "{error}");
    let tiny = Config { segment_bytes: 4096, ..config() };
    assert!(matches!(try_open(&runtime, path, tiny).await.unwrap_err(), OpenError::Config(_)));
}

/// After a failed write or sync nothing is acknowledged any more, until the directory is opened anew.
pub async fn a_failing_disk_stops_all_writing<R: Runtime>(runtime: R) {
    for fail_sync in [true, false] {
        let (faulty, faults) = Faulty::new(runtime.clone());
        failing_disk(runtime.clone(), faulty, faults, fail_sync).await;
    }
}

#[allow(clippy::manual_async_fn, reason = "the declared `Send` is the point")]
/// Generic over the faulty runtime too: the compiler proves `Send` for any runtime, where it does not for a named one.
fn failing_disk<R: Runtime, F: Runtime>(
    runtime: R,
    faulty: F,
    faults: Arc<faulty::Faults>,
    fail_sync: bool,
) -> impl Future<Output = ()> + Send {
    async move {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = open(&faulty, directory.path()).await;
        let first = ledger.submit(transfer(0, 0, 1, 1)).await.unwrap();
        if fail_sync { &faults.sync } else { &faults.write }.store(true, SeqCst);
        let answers =
            join_all((0..8).map(|from| ledger.submit(transfer(from, u64::from(from == 0), 9, 1)))).await;
        for answer in answers {
            assert!(matches!(answer, Err(SubmitError::Failed(_))), "{answer:?}");
        }
        // The disk is well again, but nobody knows what it holds.
        faults.sync.store(false, SeqCst);
        faults.write.store(false, SeqCst);
        assert!(matches!(ledger.submit(transfer(9, 0, 1, 1)).await, Err(SubmitError::Failed(_))));
        // Whoever waits for it (the node's health) is told.
        ledger.failed().await;
        let reason = ledger.failure().unwrap();
        let expected = if fail_sync { "cannot sync" } else { "cannot write" };
        assert!(reason.contains(expected) && reason.contains(".journal"), "{reason}");
        assert_eq!(ledger.snapshot().header.height, Height(1));
        assert_eq!(ledger.inclusion(first.receipt.transaction).await.unwrap(), Some(first.clone()));
        assert!(ledger.stop().await.is_err());
        drop(ledger);
        let ledger = open(&runtime, directory.path()).await;
        assert_eq!(ledger.inclusion(first.receipt.transaction).await.unwrap(), Some(first));
        // The failed sync's block was written all the same: it may count or not, but nonces agree with it.
        let next = ledger.account(dev::native_address(0)).unwrap().nonce.0;
        ledger.submit(transfer(0, next, 1, 1)).await.unwrap();
        ledger.stop().await.unwrap();
    }
}

/// Transactions that arrive in any order are applied in the order of their nonces, many to a block.
pub async fn nonces_arrive_in_any_order<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = open(&runtime, directory.path()).await;
    let backwards =
        (0..50).rev().flat_map(|nonce| (0..10).map(move |from| transfer(from, nonce, from + 1, 1)));
    let included = submit_all(&ledger, backwards).await;
    let blocks = ledger.snapshot().header.height.0;
    assert!(blocks < 250, "{blocks} blocks for {} transactions", included.len());
    assert_eq!(ledger.metrics().transactions.get(), 500);
    assert_eq!(ledger.metrics().waiting.get(), 0);
    for from in 0..10 {
        assert_eq!(ledger.account(dev::native_address(from)).unwrap().nonce, Nonce(50));
    }
    ledger.stop().await.unwrap();
}

/// A gap is waited for, for a limited time, by a limited number.
pub async fn gaps_are_waited_for_within_limits<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let limited = Config { waiting_per_account: 2, waiting_time: Duration::from_millis(150), ..config() };
    let ledger = try_open(&runtime, directory.path(), limited).await.unwrap();
    let early = transfer(0, 2, 1, 1);
    let answers = join_all(
        [early.clone(), early, transfer(0, 2, 1, 99), transfer(0, 3, 1, 1), transfer(0, 4, 1, 1)]
            .map(|one| ledger.submit(one)),
    )
    .await;
    let gap = |stated| Err(SubmitError::NonceGap { expected: Nonce(0), stated: Nonce(stated) });
    assert_eq!(answers[0], gap(2));
    assert_eq!(answers[1], gap(2));
    assert_eq!(answers[2], Err(SubmitError::NonceTaken { nonce: Nonce(2) }));
    assert_eq!(answers[3], gap(3));
    assert_eq!(answers[4], Err(SubmitError::WaitingRoomFull { expected: Nonce(0), limit: 2 }));
    assert_eq!(ledger.snapshot().header.height, Height(0), "no empty blocks");
    ledger.submit(transfer(0, 0, 1, 1)).await.unwrap();
    ledger.stop().await.unwrap();
    assert_eq!(ledger.submit(transfer(0, 1, 1, 1)).await, Err(SubmitError::Stopping));
}

/// What does not fit the queue is refused at once, and what was taken is answered.
pub async fn overload_is_shed<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let small = Config { queue_transactions: 4, ..config() };
    let ledger = try_open(&runtime, directory.path(), small).await.unwrap();
    let many = (0..400).map(|number| transfer(number % 10, u64::from(number / 10), 1, 1));
    let answers = join_all(many.map(|one| ledger.submit(one))).await;
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    let shed = answers.iter().filter(|answer| matches!(answer, Err(SubmitError::Overloaded { .. }))).count();
    assert!(taken >= 4 && shed > 0, "{taken} taken, {shed} shed");
    assert_eq!(ledger.metrics().shed.get(), shed as u64);
    assert_eq!(ledger.metrics().transactions.get(), taken as u64);
    ledger.stop().await.unwrap();
}

/// The same transaction gives the same receipt however often it comes; another with its nonce is refused.
pub async fn duplicates_get_the_same_receipt<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let few = Config { recent_blocks: 1, ..config() };
    let ledger = try_open(&runtime, directory.path(), few.clone()).await.unwrap();
    let one = transfer(0, 0, 1, 1);
    let answers = submit_all(&ledger, vec![one.clone(); 5]).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    for nonce in 1..5 {
        ledger.submit(transfer(0, nonce, 1, 1)).await.unwrap();
    }
    assert_eq!(ledger.submit(one.clone()).await.as_ref(), Ok(&answers[0]), "no longer in memory");
    let other = ledger.submit(transfer(0, 0, 1, 2)).await.unwrap_err();
    let expected = Rejection::NonceTooLow { expected: Nonce(5), stated: Nonce(0) };
    assert_eq!(other, SubmitError::Rejected(expected));
    ledger.stop().await.unwrap();
    drop(ledger);
    let ledger = try_open(&runtime, directory.path(), few).await.unwrap();
    assert_eq!(ledger.submit(one).await.as_ref(), Ok(&answers[0]), "after a restart");
    assert_eq!(ledger.account(dev::native_address(0)).unwrap().nonce, Nonce(5));
    ledger.stop().await.unwrap();
}

/// One block for each transaction, or all in a few: the state commitment is the same, and replay agrees with both.
pub async fn batching_does_not_change_the_state<R: Runtime>(runtime: R) {
    let transactions: Vec<_> = (0..8)
        .flat_map(|nonce| (0..10).map(move |from| transfer(from, nonce, (from + 3) % 10, 11)))
        .collect();
    let mut roots = Vec::new();
    for together in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = open(&runtime, directory.path()).await;
        if together {
            submit_all(&ledger, transactions.clone()).await;
        } else {
            for one in transactions.clone() {
                ledger.submit(one).await.unwrap();
            }
            assert_eq!(ledger.snapshot().header.height, Height(80));
        }
        let tip = ledger.snapshot();
        ledger.stop().await.unwrap();
        drop(ledger);
        let audit = verify(&runtime, directory.path(), &dev::genesis()).await.unwrap();
        assert_eq!((audit.hash, audit.state_root, audit.transactions), (tip.hash, tip.header.state_root, 80));
        forget_store(directory.path());
        let ledger = open(&runtime, directory.path()).await;
        assert_eq!(ledger.snapshot().hash, tip.hash);
        ledger.stop().await.unwrap();
        roots.push(tip.header.state_root);
    }
    assert_eq!(roots[0], roots[1]);
}

/// A journal longer than a segment goes on in the next; segments that the store covers are used again.
pub async fn segments_roll_over_and_are_recycled<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let keep = |keep_segments| Config { keep_segments, ..config() };
    let ledger = try_open(&runtime, path, keep(KeepSegments::All)).await.unwrap();
    let bulk = |nonces: std::ops::Range<u64>| {
        nonces.flat_map(|nonce| (0..10).map(move |from| bulky(from, nonce, 100_000)))
    };
    submit_all(&ledger, bulk(0..22)).await;
    ledger.stop().await.unwrap();
    let tip = ledger.snapshot();
    drop(ledger);
    assert!(segments(path).len() >= 3, "{:?}", segments(path));
    let audit = verify(&runtime, path, &dev::genesis()).await.unwrap();
    assert_eq!((audit.height, audit.transactions), (tip.header.height, 220));

    let ledger = try_open(&runtime, path, keep(KeepSegments::Last(0))).await.unwrap();
    assert_eq!(ledger.snapshot().hash, tip.hash);
    submit_all(&ledger, bulk(22..66)).await;
    ledger.abort().await;
    let tip = ledger.snapshot();
    drop(ledger);
    assert!(!segments(path)[0].ends_with("00000000000000000000.journal"), "{:?}", segments(path));
    let error = verify(&runtime, path, &dev::genesis()).await.unwrap_err();
    assert!(matches!(error, AuditError::Incomplete { .. }), "{error}");
    let ledger = try_open(&runtime, path, keep(KeepSegments::Last(0))).await.unwrap();
    assert_eq!(ledger.snapshot().hash, tip.hash);
    ledger.submit(bulky(0, 66, 10)).await.unwrap();
    ledger.stop().await.unwrap();
}

/// Contracts are deployed and called; one that never ends runs out of gas and takes nobody's turn.
pub async fn contracts_run_in_slices<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = open(&runtime, directory.path()).await;
    let deploy = |index, code: &[u8]| {
        native(index, 0, 50_000_000, Action::Deploy { code: code.to_vec(), input: vec![] })
    };
    let included = ledger.submit(deploy(0, COUNTER)).await.unwrap();
    assert_eq!(included.receipt.status, Status::Success);
    let counter = included.receipt.contract.unwrap();
    assert_eq!(counter, Address::create(&dev::native_address(0), 0));
    assert_eq!(ledger.code(counter).unwrap().as_deref(), Some(COUNTER));
    let spin = ledger.submit(deploy(1, SPIN)).await.unwrap().receipt.contract.unwrap();
    let call = |index, contract, gas_limit| {
        let input = vec![0; 4];
        native(index, 1, gas_limit, Action::Call { contract, asset: GCC, value: 0, input })
    };
    let (endless, transfers) = futures_util::future::join(
        ledger.submit(call(1, spin, 20_000_000)),
        submit_all(&ledger, (2..10).map(|from| transfer(from, 0, 1, 1))),
    )
    .await;
    let endless = endless.unwrap();
    assert_eq!((&endless.receipt.status, endless.receipt.gas_used.0), (&Status::OutOfGas, 20_000_000));
    assert!(transfers.iter().all(|one| one.receipt.status.is_success()));
    ledger.submit(call(0, counter, 1_000_000)).await.unwrap();
    let tip = ledger.snapshot();
    ledger.abort().await;
    drop(ledger);
    forget_store(directory.path());
    let ledger = open(&runtime, directory.path()).await;
    assert_eq!(ledger.snapshot().hash, tip.hash);
    ledger.stop().await.unwrap();
}

/// `(module (memory (export "memory") 1) (func (export "shroud_init")) (func (export "shroud_call") (loop (br 0))))`
const SPIN: &[u8] = &[
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version
    0x01, 0x04, 0x01, 0x60, 0x00, 0x00, // one type: nothing to nothing
    0x03, 0x03, 0x02, 0x00, 0x00, // two functions of it
    0x05, 0x03, 0x01, 0x00, 0x01, // one memory of one page
    0x07, 0x26, 0x03, // three exports
    0x06, b'm', b'e', b'm', b'o', b'r', b'y', 0x02, 0x00, //
    0x0b, b's', b'h', b'r', b'o', b'u', b'd', b'_', b'i', b'n', b'i', b't', 0x00, 0x00, //
    0x0b, b's', b'h', b'r', b'o', b'u', b'd', b'_', b'c', b'a', b'l', b'l', 0x00, 0x01, //
    0x0a, 0x0c, 0x02, // two bodies
    0x02, 0x00, 0x0b, // nothing
    0x07, 0x00, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x0b, // loop, br 0
];

/// An orderly end answers all, and leaves nothing to replay.
pub async fn stopping_answers_everyone<R: Runtime>(runtime: R) {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = open(&runtime, directory.path()).await;
    let task = {
        let ledger = ledger.clone();
        runtime.spawn("clients", async move {
            join_all(
                (0..100).map(|number| ledger.submit(transfer(number % 10, u64::from(number / 10), 1, 1))),
            )
            .await
        })
    };
    while ledger.snapshot().header.height == Height(0) {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    ledger.stop().await.unwrap();
    let answers = task.await.unwrap();
    let taken = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(SubmitError::Stopping))));
    assert_eq!(ledger.metrics().transactions.get(), taken);
    assert_eq!(ledger.metrics().store_height.get(), ledger.metrics().height.get());
    let mut text = String::new();
    ledger.render_metrics(&mut text);
    assert!(text.contains(&format!("shroud_ledger_transactions_total {taken}\n")), "{text}");
}

/// Every shard submits at the same time, and every one is answered. Runs on two shards where the backend has several.
///
/// # Panics
/// When it does not hold.
pub fn every_shard_submits<B: Backend>(backend: &B) {
    let directory = Arc::new(tempfile::tempdir().expect("a directory"));
    let shared = Arc::new(OnceCell::<(Ledger<B::Runtime>, shroud::runtime::sync::Barrier)>::new());
    crate::run(backend, 2, move |runtime: B::Runtime| {
        let (directory, shared) = (Arc::clone(&directory), Arc::clone(&shared));
        async move {
            let shard = runtime.shard();
            if shard.index == 0 {
                let ledger = open(&runtime, directory.path()).await;
                let barrier = shroud::runtime::sync::Barrier::new(shard.count);
                shared.set((ledger, barrier)).await.map_err(drop).expect("the first");
            }
            let (ledger, barrier) = shared.wait().await;
            let ledger = ledger.on_shard(runtime.clone());
            for round in 0..5 {
                let of_shard = (0..10).filter(|from| *from as usize % shard.count == shard.index);
                let batch = of_shard
                    .flat_map(|from| (0..20).map(move |nonce| transfer(from, round * 20 + nonce, 1, 1)));
                submit_all(&ledger, batch).await;
            }
            barrier.wait().await;
            assert_eq!(ledger.metrics().transactions.get(), 1000);
            if shard.index == 0 {
                ledger.stop().await.unwrap();
            }
        }
    });
}

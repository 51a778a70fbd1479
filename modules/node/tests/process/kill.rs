//! `kill -9` under load, again and again: nothing that was acknowledged may be lost, nothing may happen twice, and the
//! money must add up. The nodes keep their whole journal, so that the closing audit replays it from genesis.

use crate::node::{Client, Node, SHROUD, backends, tell};
use crate::sign::{BulkySender, Sender};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Connections that send small transfers at once, each with an account of its own.
const SENDERS: u32 = 4;
/// The account after them sends large transfers, so that the journal's segments fill and roll over between kills.
const BULKY: u32 = SENDERS;
/// Data in a large transfer.
const BULKY_BYTES: usize = 64 << 10;
/// The smallest segments there are, and all of them kept.
const SETTINGS: [&str; 4] = ["--segment-mib", "9", "--keep-segments", "all"];
/// Acknowledged transfers of a sender that are looked up after each restart; all of them are at the end.
const RECENT: usize = 200;
/// Questions in one JSON-RPC batch.
const BATCH: usize = 100;

fn kills() -> usize {
    std::env::var("SHROUD_KILLS").ok().map_or(3, |kills| kills.parse().expect("SHROUD_KILLS is a number"))
}

/// What a client was told: this transfer is durable, in this block.
struct Acknowledged {
    hash: String,
    block: String,
}

/// What each sender was told, in the order of its nonces.
type Told = Vec<Vec<Acknowledged>>;

fn nothing() -> Told {
    (0..=BULKY).map(|_| Vec::new()).collect()
}

#[test]
fn killing_the_node_under_load_loses_nothing_acknowledged() {
    for backend in backends() {
        let started = Instant::now();
        let data = tempfile::tempdir().expect("a directory");
        let mut acknowledged = nothing();
        let (mut rounds, mut under_load) = (0, 0);
        while under_load < kills() {
            assert!(
                rounds < 3 * kills() + 3,
                "{backend}: of {rounds} kills only {under_load} came under load"
            );
            let node = Node::start_with(&backend, data.path(), &SETTINGS);
            check(&backend, &mut node.connect(), &acknowledged, RECENT);
            let told = load_until_killed(node, rounds);
            rounds += 1;
            // A kill before the first answer proves little, and does not count.
            under_load += usize::from(told.iter().any(|told| !told.is_empty()));
            for (all, told) in acknowledged.iter_mut().zip(told) {
                all.extend(told);
            }
        }
        let node = Node::start_with(&backend, data.path(), &SETTINGS);
        let mut client = node.connect();
        let applied = check(&backend, &mut client, &acknowledged, usize::MAX);
        let tip = client.call("shroud_stateCommitment", json!([])).expect("alive").expect("a result");
        drop(client);
        node.stop();
        let segments = audit(&backend, data.path(), &tip, applied);
        let total: usize = acknowledged.iter().map(Vec::len).sum();
        tell(format_args!(
            "{backend}: {under_load} kills under load; {total} acknowledged transfers, lost: 0; {} applied unanswered, none \
             twice; audit of {segments} segments from genesis: {} blocks, commitment {} as served; {} s",
            applied - total as u64,
            quantity(&tip["height"]),
            tip["commitment"].as_str().expect("a commitment"),
            started.elapsed().as_secs(),
        ));
    }
}

fn account(index: u32) -> String {
    if index == BULKY { BulkySender::new(0).address } else { Sender::new(index).address }
}

/// The amount of a sender's transfer: the sum of all up to a nonce tells which were made, and how often.
fn amount(nonce: u128) -> u128 {
    nonce % 7 + 1
}

/// Sends on all connections, kills the node in the middle, and returns what was acknowledged.
fn load_until_killed(mut node: Node, round: usize) -> Told {
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::new(Mutex::new(nothing()));
    let threads: Vec<_> = (0..=BULKY)
        .map(|index| {
            let (client, told, over) = (node.connect(), Arc::clone(&told), Arc::clone(&over));
            std::thread::spawn(move || send(index, client, &told, &over))
        })
        .collect();
    // Each round dies at another moment of the first half second.
    std::thread::sleep(Duration::from_millis(60 + (round as u64 * 137) % 440));
    node.child.kill().expect("killed");
    node.child.wait().expect("reaped");
    over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("a sender failed");
    }
    Arc::try_unwrap(told).ok().expect("all senders ended").into_inner().expect("not poisoned")
}

/// Sends one transfer after the other until the connection breaks.
fn send(index: u32, mut client: Client, told: &Mutex<Told>, over: &AtomicBool) {
    let (small, large) = (Sender::new(index), BulkySender::new(0));
    let ask = json!([account(index), "latest"]);
    let Ok(count) = client.call("eth_getTransactionCount", ask) else { return };
    let mut nonce = quantity(&count.expect("a result"));
    while !over.load(Ordering::Relaxed) {
        let (next, amount) = (u64::try_from(nonce).expect("a nonce"), amount(nonce));
        let raw = match index {
            BULKY => large.transfer(next, Sender::sink(index), amount, BULKY_BYTES),
            _ => small.transfer(next, Sender::sink(index), amount),
        };
        match client.call("shroud_sendTransaction", json!([raw])) {
            Ok(Ok(outcome)) => {
                assert_eq!(outcome["status"], "0x1", "{outcome}");
                let text = |name: &str| outcome[name].as_str().expect("a text").to_owned();
                let acknowledged = Acknowledged { hash: text("hash"), block: text("blockNumber") };
                told.lock().expect("not poisoned")[index as usize].push(acknowledged);
                nonce += 1;
            }
            Ok(Err(error)) => panic!("sender {index}, nonce {nonce}: refused: {error}"),
            Err(_) => return,
        }
    }
}

/// Every acknowledged transfer (the last `recent` of each sender) is in the block that was said, and each sink holds exactly
/// what its sender's nonce says, which is at least what was acknowledged: one more transfer of each sender and round may
/// have been applied without an answer. Returns how many were applied.
fn check(backend: &str, client: &mut Client, acknowledged: &Told, recent: usize) -> u64 {
    let mut applied = 0;
    for (index, acknowledged) in (0..).zip(acknowledged) {
        let recent = &acknowledged[acknowledged.len().saturating_sub(recent)..];
        let lost: Vec<_> = recent.chunks(BATCH).flat_map(|chunk| lost_of(client, chunk)).collect();
        assert!(lost.is_empty(), "{backend}: sender {index} lost {} transfers: {lost:#?}", lost.len());
        let mut ask = |method: &str, address: String| {
            quantity(&client.call(method, json!([address, "latest"])).expect("alive").expect("a result"))
        };
        let nonce = ask("eth_getTransactionCount", account(index));
        assert!(nonce >= acknowledged.len() as u128, "{backend}: nonce {nonce} below {}", acknowledged.len());
        let expected: u128 = (0..nonce).map(amount).sum();
        let sink = ask("eth_getBalance", Sender::sink(index));
        assert_eq!(sink, expected, "{backend}: sender {index} sent {nonce} transfers");
        applied += u64::try_from(nonce).expect("a nonce");
    }
    applied
}

/// Which of these are not where they were said to be, and what there is instead.
fn lost_of(client: &mut Client, acknowledged: &[Acknowledged]) -> Vec<String> {
    let ask = |(id, transfer): (usize, &Acknowledged)| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_getTransactionReceipt", "params": [transfer.hash] });
    let questions: Vec<_> = acknowledged.iter().enumerate().map(ask).collect();
    let (status, body) = client.request("POST", "/", &Value::from(questions).to_string()).expect("alive");
    let answers: Vec<Value> = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, answers.len()), (200, acknowledged.len()), "{body}");
    let lost = answers.iter().zip(acknowledged).filter(|(answer, transfer)| {
        let receipt = &answer["result"];
        receipt["status"] != "0x1"
            || receipt["transactionHash"] != transfer.hash.as_str()
            || receipt["blockNumber"] != transfer.block.as_str()
    });
    lost.map(|(answer, transfer)| format!("{} of block {}: {answer}", transfer.hash, transfer.block))
        .collect()
}

/// Replays the journal from genesis: it comes to what the node served, with every applied transfer and no other. Returns the
/// number of segments.
fn audit(backend: &str, data: &Path, tip: &Value, applied: u64) -> usize {
    let output = std::process::Command::new(SHROUD)
        .args(["audit", "--dev", "--data"])
        .arg(data)
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{backend}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let found = |name: &str| {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|words| words.first() == Some(&name)).expect("the audit says it");
        line[1].to_owned()
    };
    assert_eq!(found("blocks"), quantity(&tip["height"]).to_string(), "{backend}");
    assert_eq!(found("commitment"), tip["commitment"].as_str().expect("a commitment"), "{backend}");
    assert_eq!(found("transactions"), applied.to_string(), "{backend}");
    let files = std::fs::read_dir(data.join("journal")).expect("the journal");
    let names = files.map(|file| file.expect("an entry").file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".journal")).count()
}

fn quantity(value: &Value) -> u128 {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x")).expect("a quantity");
    u128::from_str_radix(text, 16).expect("hex")
}

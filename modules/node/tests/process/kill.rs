//! `kill -9` under load, again and again: nothing that was acknowledged may be lost, nothing may happen twice, and the
//! money must add up.

use crate::node::{Client, Node, backends};
use crate::sign::Sender;
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Connections that send at once, each with an account of its own.
const SENDERS: u32 = 4;

fn kills() -> usize {
    std::env::var("SHROUD_KILLS").ok().map_or(3, |kills| kills.parse().expect("SHROUD_KILLS is a number"))
}

/// What a client was told.
struct Acknowledged {
    hash: String,
    amount: u128,
}

#[test]
fn killing_the_node_under_load_loses_nothing_acknowledged() {
    for backend in backends() {
        let data = tempfile::tempdir().expect("a directory");
        let mut acknowledged: Vec<Vec<Acknowledged>> = (0..SENDERS).map(|_| Vec::new()).collect();
        for round in 0..kills() {
            let node = Node::start(&backend, data.path());
            check(&backend, &mut node.connect(), &acknowledged);
            let fresh = load_until_killed(node, round);
            for (all, fresh) in acknowledged.iter_mut().zip(fresh) {
                all.extend(fresh);
            }
        }
        let node = Node::start(&backend, data.path());
        check(&backend, &mut node.connect(), &acknowledged);
        node.stop();
        audit(data.path());
        let total: usize = acknowledged.iter().map(Vec::len).sum();
        println!("{backend}: {} kills, {total} acknowledged transfers, none lost", kills());
        assert!(total > 0, "{backend}: the load never got an answer");
    }
}

/// Sends on all connections, kills the node in the middle, and returns what was acknowledged.
fn load_until_killed(mut node: Node, round: usize) -> Vec<Vec<Acknowledged>> {
    let over = Arc::new(AtomicBool::new(false));
    let told: Arc<Mutex<Vec<Vec<Acknowledged>>>> =
        Arc::new(Mutex::new((0..SENDERS).map(|_| Vec::new()).collect()));
    let threads: Vec<_> = (0..SENDERS)
        .map(|index| {
            let (mut client, told, over) = (node.connect(), Arc::clone(&told), Arc::clone(&over));
            std::thread::spawn(move || {
                let sender = Sender::new(index);
                let account =
                    client.call("shroud_getAccount", json!([sender.address])).expect("alive").expect("known");
                let mut nonce = account["nonce"].as_str().map_or(0, |nonce| {
                    u64::from_str_radix(nonce.trim_start_matches("0x"), 16).expect("a quantity")
                });
                while !over.load(Ordering::Relaxed) {
                    let amount = u128::from(nonce % 7 + 1);
                    let raw = sender.transfer(nonce, Sender::sink(index), amount);
                    match client.call("shroud_sendTransaction", json!([raw])) {
                        Ok(Ok(receipt)) => {
                            assert_eq!(receipt["status"], "0x1", "{receipt}");
                            let hash = receipt["hash"].as_str().expect("a hash").to_owned();
                            told.lock().expect("not poisoned")[index as usize]
                                .push(Acknowledged { hash, amount });
                            nonce += 1;
                        }
                        Ok(Err(error)) => panic!("refused: {error}"),
                        Err(_) => break,
                    }
                }
            })
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

/// Every acknowledged transfer is there with its receipt, and each sink holds at least what was acknowledged (one more
/// transfer per sender and round may have been applied without an answer) and exactly what its sender's nonce says.
fn check(backend: &str, client: &mut Client, acknowledged: &[Vec<Acknowledged>]) {
    for (index, acknowledged) in acknowledged.iter().enumerate() {
        for transfer in acknowledged.iter().rev().take(200) {
            let receipt = client
                .call("eth_getTransactionReceipt", json!([transfer.hash]))
                .expect("alive")
                .expect("a result");
            assert_eq!(receipt["status"], "0x1", "{backend}: acknowledged {} is gone", transfer.hash);
        }
        let sender = Sender::new(index as u32);
        let quantity = |value: &serde_json::Value| {
            u128::from_str_radix(value.as_str().expect("a quantity").trim_start_matches("0x"), 16)
                .expect("hex")
        };
        let nonce = client
            .call("eth_getTransactionCount", json!([sender.address, "latest"]))
            .expect("alive")
            .expect("a result");
        let nonce = quantity(&nonce);
        assert!(nonce >= acknowledged.len() as u128, "{backend}: nonce {nonce} below {}", acknowledged.len());
        let sink = client
            .call("eth_getBalance", json!([Sender::sink(index as u32), "latest"]))
            .expect("alive")
            .expect("a result");
        let expected: u128 = (0..nonce).map(|nonce| nonce % 7 + 1).sum();
        assert_eq!(quantity(&sink), expected, "{backend}: sender {index} sent {nonce} transfers");
        assert!(expected >= acknowledged.iter().map(|transfer| transfer.amount).sum());
    }
}

fn audit(data: &Path) {
    let output = std::process::Command::new(crate::node::SHROUD)
        .args(["audit", "--dev", "--data"])
        .arg(data)
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

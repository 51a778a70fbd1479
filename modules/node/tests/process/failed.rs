//! A node whose disk takes no more: it goes on answering what it knows, says that it does not serve, and has lost nothing when it
//! comes back.

use crate::node::{Node, SHROUD, backends};
use crate::sign::Sender;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

/// `grpc.health.v1.HealthCheckResponse` in its frame.
const SERVING: [u8; 7] = [0, 0, 0, 0, 2, 8, 1];
const NOT_SERVING: [u8; 7] = [0, 0, 0, 0, 2, 8, 2];

/// What the node's health service says of the node as a whole.
fn health(node: &Node, question: &Path) -> Vec<u8> {
    let url = format!("http://{}/grpc.health.v1.Health/Check", node.address);
    let body = format!("@{}", question.display());
    let fields = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
    let output = Command::new(SHROUD)
        .args(["get", "-2", &url, "-d", &body])
        .args(fields)
        .stderr(Stdio::inherit())
        .output()
        .expect("the command runs");
    assert!(output.status.success());
    output.stdout
}

/// An internal error (JSON-RPC 2.0, 5.1) that says what happened, and names none of the server's files.
fn is_stopped(error: &Value) -> bool {
    let message = error["message"].as_str().unwrap_or_default();
    error["code"] == -32603 && message.starts_with("the ledger has stopped: the node's log says why")
}

#[test]
fn a_node_that_cannot_write_says_so_and_comes_back_whole() {
    for backend in backends() {
        let data = tempfile::tempdir().expect("a directory");
        let scratch = tempfile::tempdir().expect("a directory");
        let question = scratch.path().join("question");
        // An empty message: the server as a whole.
        std::fs::write(&question, [0; 5]).expect("written");
        let sender = Sender::new(0);
        let send = |node: &Node, nonce| {
            let transaction = sender.transfer(nonce, Sender::sink(0), 5);
            node.connect().call("shroud_sendTransaction", json!([transaction])).expect("the connection holds")
        };

        // Its log is a file, so that it cannot be written either.
        let log = std::fs::File::create(scratch.path().join("log")).expect("a file");
        let node = Node::start_logging_to(&backend, data.path(), &["--segment-mib", "16"], log.into());
        send(&node, 0).expect("it is durable");
        assert_eq!(health(&node, &question), SERVING, "{backend}");

        // No file may be written to at any place any more. Otherwise than a full disk, that is for this process alone.
        let pid = Pid::from_raw(node.child.id().cast_signed()).expect("a process");
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        prlimit(Some(pid), Resource::Fsize, none).expect("a limit");
        let error = send(&node, 1).expect_err("it cannot be durable");
        assert!(is_stopped(&error), "{backend}: {error}");
        while health(&node, &question) != NOT_SERVING {}
        let before = node.connect().call("shroud_stateCommitment", json!([])).expect("the connection holds");
        let error = send(&node, 1).expect_err("it has failed for good");
        assert!(is_stopped(&error), "{backend}: {error}");
        drop(node);

        let node = Node::start(&backend, data.path());
        assert_eq!(health(&node, &question), SERVING, "{backend}");
        let after = node.connect().call("shroud_stateCommitment", json!([])).expect("the connection holds");
        assert_eq!(before, after, "{backend}");
        send(&node, 1).expect("it is durable");
        node.stop();
    }
}

//! `eth_subscribe` over WebSocket, asked for through `shroud ws`.

use crate::node::{Client, Node, SHROUD, backends};
use crate::sign::Sender;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// `shroud ws`: lines in are messages, messages are lines out.
struct Ws {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Ws {
    fn open(node: &Node, extra: &[&str]) -> Self {
        let mut child = Command::new(SHROUD)
            .args(["ws", &format!("ws://{}/", node.address)])
            .args(extra)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("shroud ws starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, input, output }
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().expect("open"), "{message}").expect("it takes a line");
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).expect("text") > 0, "shroud ws has ended");
        serde_json::from_str(&line).expect("JSON")
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params }));
        let answer = self.next();
        assert_eq!(answer["id"], method, "{answer}");
        answer
    }

    /// Ends the input; gives the exit code and what was said about it.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.input.take());
        let output = self.child.wait_with_output().expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn send(client: &mut Client, transaction: String) -> Value {
    let sent = client.call("shroud_sendTransaction", json!([transaction])).expect("the connection holds");
    sent.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn blocks_and_transactions_are_told_of_once_they_are_durable() {
    for backend in backends() {
        let data = tempfile::tempdir().expect("a directory");
        let node = Node::start(&backend, data.path());
        let mut client = node.connect();
        let mut ws = Ws::open(&node, &[]);
        let heads = ws.call("eth_subscribe", json!(["newHeads"]))["result"].clone();
        let hashes = ws.call("eth_subscribe", json!(["newPendingTransactions"]))["result"].clone();
        let logs =
            ws.call("eth_subscribe", json!(["logs", { "address": Sender::sink(1) }]))["result"].clone();
        assert!(heads.is_string() && hashes.is_string() && logs.is_string(), "{backend}");

        let sender = Sender::new(0);
        for nonce in 0..3 {
            let sent = send(&mut client, sender.transfer(nonce, Sender::sink(0), 5));
            let head = ws.next()["params"].clone();
            assert_eq!(head["subscription"], heads, "{backend}: {head}");
            assert_eq!(head["result"]["number"], sent["blockNumber"]);
            let block = client.call("eth_getBlockByNumber", json!([sent["blockNumber"], false]));
            let block = block.expect("the connection holds").expect("a block");
            for (name, value) in head["result"].as_object().expect("an object") {
                assert_eq!(value, &block[name], "{backend}: {name}");
            }
            let told = ws.next()["params"].clone();
            assert_eq!((&told["subscription"], &told["result"]), (&hashes, &sent["hash"]), "{backend}");
        }
        // Calls go on over the same connection, and what is unsubscribed is told no more.
        assert_eq!(ws.call("eth_blockNumber", json!([]))["result"], "0x3", "{backend}");
        assert_eq!(ws.call("eth_unsubscribe", json!([heads]))["result"], true);
        assert_eq!(ws.call("eth_unsubscribe", json!([heads]))["error"]["code"], -32602);
        let sent = send(&mut client, sender.transfer(3, Sender::sink(0), 5));
        assert_eq!(ws.next()["params"]["result"], sent["hash"], "{backend}");
        // A contract's events, to those who want them: the other subscription names another contract.
        let everything = ws.call("eth_subscribe", json!(["logs", {}]))["result"].clone();
        let token = include_bytes!("../../../../contracts/token/token.wasm");
        let sent = send(&mut client, sender.deploy(4, token));
        assert_eq!(ws.next()["params"]["result"], sent["hash"], "{backend}");
        let told = ws.next()["params"].clone();
        assert_eq!(told["subscription"], everything, "{backend}");
        let receipt = client.call("eth_getTransactionReceipt", json!([sent["hash"]]));
        let receipt = receipt.expect("the connection holds").expect("a receipt");
        assert_eq!(told["result"], receipt["logs"][0], "{backend}");
        assert_eq!(told["result"]["address"], sent["contractAddress"], "{backend}");
        for (params, code) in
            [(json!([]), -32602), (json!(["syncing"]), -32602), (json!(["logs", { "topics": 7 }]), -32602)]
        {
            assert_eq!(ws.call("eth_subscribe", params)["error"]["code"], code, "{backend}");
        }
        // Over HTTP there is nobody to tell.
        let error = client.call("eth_subscribe", json!(["newHeads"])).expect("the connection holds");
        assert_eq!(error.expect_err("it is refused")["code"], -32600, "{backend}");
        assert_eq!(ws.end().0, Some(0), "{backend}");

        // A stop is said in the close frame.
        let mut ws = Ws::open(&node, &["--receive", "1000"]);
        ws.call("eth_subscribe", json!(["newHeads"]));
        // The connection before is gone when the server has seen its end, too.
        let counts = |client: &mut Client| {
            let metrics = client.request("GET", "/metrics", "").expect("an answer").1;
            metrics.contains("\nshroud_websocket_connections 1\n")
        };
        while !counts(&mut client) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        node.stop();
        let (code, said) = ws.end();
        assert_eq!(code, Some(1), "{backend}");
        assert!(said.contains("1001"), "{backend}: {said}");
    }
}

//! What the node answers to good and bad requests, over real connections, on every backend.

use crate::node::{Client, Node, backends};
use crate::sign::Sender;
use serde_json::{Value, json};
use std::io::{Read, Write};

/// Runs `test` against a fresh node on each backend.
fn on_each_backend(test: impl Fn(&str, &Node, &mut Client)) {
    for backend in backends() {
        let data = tempfile::tempdir().expect("a directory");
        let node = Node::start(&backend, data.path());
        let mut client = node.connect();
        test(&backend, &node, &mut client);
        node.stop();
    }
}

fn ok(client: &mut Client, method: &str, params: Value) -> Value {
    client
        .call(method, params)
        .expect("the connection holds")
        .unwrap_or_else(|error| panic!("{method}: {error}"))
}

fn refused(client: &mut Client, method: &str, params: Value) -> (i64, String) {
    let error = client.call(method, params).expect("the connection holds").expect_err("the call is refused");
    (error["code"].as_i64().expect("a code"), error["message"].as_str().expect("a message").to_owned())
}

fn raw(node: &Node, bytes: &[u8]) -> String {
    let mut stream = std::net::TcpStream::connect(&node.address).expect("the node accepts");
    stream.write_all(bytes).expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn malformed_requests_get_the_standard_errors_and_change_nothing() {
    on_each_backend(|backend, node, client| {
        let before = ok(client, "shroud_stateCommitment", json!([]));
        for (body, code) in [
            ("{", -32700),
            ("\u{1f}", -32700),
            ("[]", -32600),
            ("{}", -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"eth_nothing"}"#, -32601),
            (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}"#, -32602),
            (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{}}"#, -32602),
            (r#"{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0xzz"]}"#, -32602),
        ] {
            let (status, answer) = client.request("POST", "/", body).expect("an answer");
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!(
                (status, answer["error"]["code"].as_i64()),
                (200, Some(code)),
                "{backend} {body}: {answer}"
            );
        }
        let batch = r#"[{"jsonrpc":"2.0","id":"a","method":"net_version"},{"jsonrpc":"2.0","method":"net_version"},7]"#;
        let (_, answer) = client.request("POST", "/", batch).expect("an answer");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer.as_array().map(Vec::len), Some(2), "{backend}: {answer}");
        assert_eq!(answer[0]["id"], "a");
        assert_eq!(answer[1]["error"]["code"], -32600);
        for (bytes, status) in [
            (&b"GET / HTTP/9.9\r\n\r\n"[..], "400"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
            (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", "400"),
            (b"GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "404"),
            (b"DELETE /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "405"),
        ] {
            let answer = raw(node, bytes);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{backend} {bytes:?}: {answer:?}");
        }
        assert_eq!(ok(client, "shroud_stateCommitment", json!([])), before, "{backend}");
    });
}

#[test]
fn bad_transactions_are_refused_precisely_and_change_nothing() {
    on_each_backend(|backend, _, client| {
        let before = ok(client, "shroud_stateCommitment", json!([]));
        let sender = Sender::new(0);
        let good = sender.transfer(0, Sender::sink(0), 5);
        let mut forged = good.clone();
        forged.replace_range(forged.len() - 2.., if good.ends_with("00") { "01" } else { "00" });
        for (transaction, says) in [
            ("0x".to_owned(), "empty"),
            ("0x53".to_owned(), "version"),
            ("0x53ff".to_owned(), "version"),
            (good[..good.len() / 2 / 2 * 2].to_owned(), ""),
            (format!("{good}00"), ""),
            (forged, "signature"),
            (sender.transfer_on_chain(1, 0, Sender::sink(0), 5), "chain"),
            (sender.transfer(0, Sender::sink(0), u128::MAX), "funds"),
            ("0xf86c".to_owned(), ""),
            ("0x03f8".to_owned(), "4844"),
        ] {
            for method in ["shroud_sendTransaction", "eth_sendRawTransaction"] {
                let (code, message) = refused(client, method, json!([transaction]));
                assert!(
                    code == -32602 || (-32099..=-32000).contains(&code),
                    "{backend} {transaction}: {code} {message}"
                );
                assert!(
                    message.to_lowercase().contains(says),
                    "{backend} {transaction}: {message:?} does not say {says:?}"
                );
            }
        }
        assert_eq!(ok(client, "shroud_stateCommitment", json!([])), before, "{backend}");
        // The account is as it was: the same nonce still works, once.
        ok(client, "shroud_sendTransaction", json!([good]));
        assert_eq!(ok(client, "eth_getBalance", json!([Sender::sink(0), "latest"])), "0x5");
        let (_, message) =
            refused(client, "shroud_sendTransaction", json!([sender.transfer(0, Sender::sink(0), 6)]));
        assert!(message.contains("nonce"), "{backend}: {message}");
    });
}

#[test]
fn contracts_are_deployed_called_viewed_and_rolled_back() {
    let counter = include_bytes!("../../../../contracts/counter/counter.wasm");
    on_each_backend(|backend, _, client| {
        let sender = Sender::new(1);
        let receipt = ok(client, "shroud_sendTransaction", json!([sender.deploy(0, counter)]));
        assert_eq!(receipt["status"], "0x1", "{backend}: {receipt}");
        let contract = receipt["contractAddress"].as_str().expect("an address").to_owned();
        assert_ne!(ok(client, "eth_getCode", json!([contract, "latest"])), "0x");
        let call = |client: &mut Client, nonce: u64, input: &[u8]| {
            ok(client, "shroud_sendTransaction", json!([sender.call(nonce, &contract, input, 1_000_000)]))
        };
        assert_eq!(call(client, 1, &[0])["status"], "0x1");
        assert_eq!(call(client, 2, &[2, 41, 0, 0, 0, 0, 0, 0, 0])["status"], "0x1");
        let view = ok(client, "shroud_viewCall", json!([{ "to": contract, "data": "0x01" }]));
        assert_eq!(view["output"], "0x2a00000000000000", "{backend}: {view}");
        assert_eq!(
            ok(client, "eth_call", json!([{ "to": contract, "data": "0x01" }, "latest"])),
            "0x2a00000000000000"
        );
        // A selector that is not there: included with status 0, gas paid, nothing stored.
        let failed = call(client, 3, &[0x77]);
        assert_eq!(failed["status"], "0x0", "{backend}: {failed}");
        // A view that writes is refused, and the counter stays.
        let (_, message) = refused(client, "eth_call", json!([{ "to": contract, "data": "0x00" }, "latest"]));
        assert!(!message.is_empty());
        assert_eq!(
            ok(client, "eth_call", json!([{ "to": contract, "data": "0x01" }, "latest"])),
            "0x2a00000000000000"
        );
        // Not a module: refused or failed, but nothing is deployed.
        let bad = client
            .call("shroud_sendTransaction", json!([sender.deploy(4, b"\0asm garbage")]))
            .expect("alive");
        if let Ok(receipt) = bad {
            assert_eq!(receipt["status"], "0x0", "{backend}: {receipt}");
        }
    });
}

#[test]
fn an_endless_loop_ends_at_its_gas_while_the_node_goes_on_answering() {
    let spin =
        wat::parse_str(include_str!("../../../../contracts/spin/spin.wat")).expect("the module is valid");
    on_each_backend(|backend, node, client| {
        let sender = Sender::new(2);
        let receipt = ok(client, "shroud_sendTransaction", json!([sender.deploy(0, &spin)]));
        assert_eq!(receipt["status"], "0x1", "{backend}: {receipt}");
        let contract = receipt["contractAddress"].as_str().expect("an address").to_owned();
        let transaction = sender.call(1, &contract, &[], 100_000_000);
        let mut other = node.connect();
        let spinning = std::thread::spawn(move || other.call("shroud_sendTransaction", json!([transaction])));
        let mut meanwhile = 0;
        while !spinning.is_finished() {
            assert_eq!(client.request("GET", "/health", "").expect("an answer").0, 200);
            // Only an answer that came before the loop's end counts.
            meanwhile += usize::from(!spinning.is_finished());
        }
        assert!(meanwhile > 0, "{backend}: no answer while the contract was looping");
        let receipt = spinning.join().expect("joined").expect("alive").expect("included");
        assert_eq!(receipt["status"], "0x0", "{backend}: {receipt}");
        assert_eq!(receipt["gasUsed"], "0x5f5e100", "{backend}: {receipt}");
        let view =
            ok(client, "shroud_viewCall", json!([{ "to": contract, "data": "0x", "gas": "0x989680" }]));
        assert_eq!(view["status"], "out of gas", "{backend}: {view}");
    });
}

//! Serving and stopping.

use crate::node::{Client, Node, backends};
use serde_json::json;
use std::io::Read;

#[test]
fn a_node_serves_its_pages_and_stops_cleanly_on_both_signals() {
    for backend in backends() {
        let data = tempfile::tempdir().expect("a directory");
        for signal in ["-TERM", "-INT"] {
            let mut node = Node::start(&backend, data.path());
            let mut client = node.connect();
            for (path, expected) in [
                ("/health", "ok"),
                ("/ready", "ready"),
                ("/metrics", "shroud_tasks{"),
                ("/debug/tasks", "main"),
                ("/debug/probe", "\"blocking_share\":"),
                ("/plain", "Hello, world!"),
            ] {
                let (status, body) = client.request("GET", path, "").expect("an answer");
                assert_eq!(status, 200, "{backend} {path}");
                assert!(body.contains(expected), "{backend} {path}: {body}");
            }
            let (status, _) = client.request("POST", "/debug/probe/reset", "").expect("an answer");
            assert_eq!(status, 200, "{backend}");
            let (_, body) = client.request("GET", "/debug/probe", "").expect("an answer");
            let probe: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            let polls = probe["polls"]["polls"].as_u64().expect("a number");
            assert!(polls >= 1, "{backend}: {body}");
            let version = client.call("web3_clientVersion", json!([])).expect("an answer").expect("a result");
            assert!(version.as_str().expect("text").starts_with("shroud/"), "{version}");
            node.signal(signal);
            let status = node.child.wait().expect("the node ends");
            assert!(status.success(), "{backend} after {signal}: {status}");
        }
    }
}

#[test]
fn requests_in_flight_are_answered_during_a_stop_and_idle_connections_are_closed() {
    for backend in backends() {
        let data = tempfile::tempdir().expect("a directory");
        let node = Node::start(&backend, data.path());
        let mut idle = std::net::TcpStream::connect(&node.address).expect("the node accepts");
        let mut client = node.connect();
        assert_eq!(client.request("GET", "/health", "").expect("an answer").0, 200);
        node.stop();
        let mut rest = Vec::new();
        // End of file or a reset, but never a hang.
        let _ = idle.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{backend}");
    }
}

#[test]
fn a_busy_port_and_a_data_directory_in_use_are_refused_precisely() {
    for backend in backends() {
        let data = tempfile::tempdir().expect("a directory");
        let node = Node::start(&backend, data.path());
        let run = |data: &std::path::Path, listen: &str| {
            std::process::Command::new(crate::node::SHROUD)
                .args(["node", "--dev", "--backend", &backend, "--listen", listen, "--data"])
                .arg(data)
                .output()
                .expect("the command runs")
        };
        let second = tempfile::tempdir().expect("a directory");
        let busy = run(second.path(), &node.address);
        let text = String::from_utf8_lossy(&busy.stderr).into_owned();
        assert!(!busy.status.success() && text.contains(&node.address), "{backend}: {text}");
        let locked = run(data.path(), "127.0.0.1:0");
        let text = String::from_utf8_lossy(&locked.stderr).into_owned();
        assert!(!locked.status.success() && text.contains("in use"), "{backend}: {text}");
        assert!(Client::connect(&node.address).is_ok());
        node.stop();
    }
}

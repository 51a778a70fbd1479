//! `shroud proxy` as a process: a check of its file, a reload by signal, a clean stop.

use crate::node::{Client, Node, SHROUD, backends};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Proxy {
    child: Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
    complaints: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Proxy {
    fn start(backend: &str, file: &Path) -> Self {
        let mut child = Command::new(SHROUD)
            .args(["proxy", "--backend", backend, "--cores", "2", "-c"])
            .arg(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the proxy starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let complaints = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        Self { child, said, complaints }
    }

    fn line(&mut self) -> String {
        self.said.next().expect("a line").expect("text")
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_proxy_serves_reloads_and_stops_cleanly() {
    for backend in backends() {
        let data = tempfile::tempdir().expect("a directory");
        let node = Node::start(&backend, &data.path().join("node"));
        let file = data.path().join("proxy.toml");
        let write = |more: &str| {
            let text = format!(
                "admin = \"127.0.0.1:0\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
                 [[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ development = \"tls\" }}\nhttp3 = true\n\
                 [upstreams.node]\nservers = [\"http://{}\"]\n[[routes]]\npath = \"/node\"\nstrip-prefix = true\n\
                 upstream = \"node\"\n{more}",
                node.address
            );
            std::fs::write(&file, text).expect("written");
        };
        write("");
        let mut proxy = Proxy::start(&backend, &file);
        let first = proxy.line();
        let address = first.strip_prefix("http://").expect("where it is").to_owned();
        assert!(proxy.line().starts_with("https://"));
        let admin = proxy.line().strip_prefix("admin http://").expect("the statistics").to_owned();
        let mut client = Client::connect(&address).expect("a connection");
        let mut ask = |path: &str| client.request("GET", path, "").expect("an answer");
        assert_eq!(ask("/node/plain"), (200, "Hello, world!".to_owned()), "{backend}");
        assert_eq!(ask("/fresh/plain").0, 404, "{backend}");
        // The same connection sees the new routes.
        write("[[routes]]\npath = \"/fresh\"\nstrip-prefix = true\nupstream = \"node\"\n");
        proxy.signal("-HUP");
        assert!(proxy.line().starts_with("reloaded "), "{backend}");
        while ask("/fresh/plain").0 != 200 {}
        write("[[routes]]\nupstream = \"nobody\"\n");
        proxy.signal("-HUP");
        let complaint = proxy.complaints.next().expect("a line").expect("text");
        assert!(
            complaint.contains("line 14: route 2: there is no upstream `nobody`"),
            "{backend}: {complaint}"
        );
        let kept = proxy.complaints.next().expect("a line").expect("text");
        assert_eq!(kept, "the configuration in use is kept", "{backend}");
        assert_eq!(ask("/fresh/plain").0, 200, "{backend}");
        let mut statistics = Client::connect(&admin).expect("a connection");
        let (_, stats) = statistics.request("GET", "/stats", "").expect("an answer");
        let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
        assert_eq!((&stats["reloads"], &stats["reloads_rejected"]), (&1.into(), &1.into()), "{backend}");
        proxy.signal("-TERM");
        assert!(proxy.child.wait().expect("it ends").success(), "{backend}");
        drop(proxy);
        node.stop();
    }
}

#[test]
fn a_file_is_checked_without_serving_it() {
    let data = tempfile::tempdir().expect("a directory");
    let file = data.path().join("proxy.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).expect("written");
        let output =
            Command::new(SHROUD).args(["proxy", "--check", "-c"]).arg(&file).output().expect("it runs");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
        (output.status.code(), text)
    };
    let good = "[upstreams.a]\nservers = [\"http://a\", \"http://b\"]\n[[routes]]\nupstream = \"a\"\n";
    let (code, said) = check(good);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("is good: 0 listeners, 1 routes, 1 upstreams with 2 servers"), "{said}");
    for (text, expected) in [
        (format!("{good}color = 1\n"), "unknown field `color`"),
        (good.replace("http://b", "b"), "line 2"),
        (
            format!(
                "{good}[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"c.pem\", key = \"k.pem\" }}\n"
            ),
            "c.pem",
        ),
    ] {
        let (code, said) = check(&text);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

//! `shroud serve`, `shroud get` and `shroud ws` as a user runs them, over every version of HTTP, on every backend.

use crate::node::{Node, SHROUD, backends};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A running `shroud serve`; killed when dropped.
struct Server {
    child: Child,
    /// Its address, as a URL without a path.
    url: String,
    /// What it says it speaks.
    versions: String,
}

impl Server {
    fn start(backend: &str, directory: &Path, extra: &[&str]) -> Self {
        let mut child = Command::new(SHROUD)
            .args(["serve", "--listen", "127.0.0.1:0", "--backend", backend])
            .args(extra)
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = lines.next().expect("the server says where it is").expect("text");
        let (_, place) = line.rsplit_once(" on ").expect("a place");
        let (url, versions) = place.split_once(' ').expect("versions");
        let (url, versions) = (url.to_owned(), versions.to_owned());
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url, versions }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    fn stop(mut self) {
        self.signal("-TERM");
        let status = self.child.wait().expect("the server ends");
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shroud(arguments: &[&str]) -> Output {
    Command::new(SHROUD).args(arguments).output().expect("the command runs")
}

/// Runs a command that must succeed: what it has printed, and said on standard error.
fn succeeds(arguments: &[&str]) -> (Vec<u8>, String) {
    let Output { status, stdout, stderr } = shroud(arguments);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success(), "{arguments:?}: {said}");
    (stdout, said)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

/// A directory to serve, with a file of a megabyte.
fn site() -> (tempfile::TempDir, Vec<u8>) {
    let site = tempfile::tempdir().expect("a directory");
    let content: Vec<u8> =
        (0..1_000_000_u32).flat_map(|n| (n % 251).to_le_bytes().into_iter().take(1)).collect();
    std::fs::write(site.path().join("file.bin"), &content).expect("written");
    std::fs::write(site.path().join("index.html"), "<p>hello").expect("written");
    (site, content)
}

#[test]
fn files_are_served_and_fetched_over_every_version() {
    let (site, content) = site();
    for backend in backends() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (tls, out) = (scratch.path().join("tls"), scratch.path().join("out"));
        let (tls, out) = (text(&tls), text(&out));
        let server =
            Server::start(&backend, site.path(), &["--tls-dev", "--tls-directory", tls, "--cores", "2"]);
        assert_eq!(server.versions, "(HTTP/1.1, HTTP/2, HTTP/3)", "{backend}");
        let file = format!("{}/file.bin", server.url);
        let certificate = format!("{tls}/dev-certificate.pem");
        for (flag, version) in [("-1", "HTTP/1.1"), ("-2", "HTTP/2.0"), ("-3", "HTTP/3.0")] {
            for trust in [&["-k"][..], &["--cacert", &certificate]] {
                let (printed, said) = succeeds(&[&["get", flag, "-t", "-o", out, &file], trust].concat());
                assert!(printed.is_empty() && std::fs::read(out).expect("written") == content, "{backend}");
                assert!(said.starts_with(&format!("{version}: header after ")), "{backend}: {said}");
                assert!(said.contains("all 1000000 bytes after"), "{backend}: {said}");
            }
            let refused = shroud(&["get", flag, &file]);
            assert_eq!(refused.status.code(), Some(1), "{backend} {flag}: nobody has signed it");
            let (printed, _) = succeeds(&["get", flag, "-k", "-i", "-H", "range: bytes=0-3", &file]);
            let printed = String::from_utf8_lossy(&printed).into_owned();
            assert!(printed.starts_with(&format!("{version} 206")), "{backend}: {printed}");
            assert_eq!(printed.contains("alt-svc: h3="), flag != "-3", "{backend}: {printed}");
        }
        server.stop();
    }
}

#[test]
fn announced_alternatives_are_remembered_between_runs() {
    let (site, _) = site();
    for backend in backends() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (tls, memory) = (scratch.path().join("tls"), scratch.path().join("alternatives"));
        let (tls, memory) = (text(&tls), text(&memory));
        let server = Server::start(&backend, site.path(), &["--tls-dev", "--tls-directory", tls]);
        for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/3.0"] {
            let (printed, said) = succeeds(&["get", "-k", "-t", "--alt-svc", memory, &server.url]);
            assert_eq!(printed, b"<p>hello", "{backend}");
            assert!(said.starts_with(version), "{backend}: {said}");
        }
        server.stop();
        let server =
            Server::start(&backend, site.path(), &["--tls-dev", "--tls-directory", tls, "--no-http3"]);
        assert_eq!(server.versions, "(HTTP/1.1, HTTP/2)");
        let (printed, _) = succeeds(&["get", "-k", "-i", &server.url]);
        assert!(!String::from_utf8_lossy(&printed).contains("alt-svc"), "{backend}");
        server.stop();
    }
}

/// Sets a cookie and sends its client elsewhere; there, answers with the cookies that came. Serves that so often.
fn cookie_server(times: usize) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let serve = move || {
        for request in 0..2 * times {
            let (stream, _) = listener.accept().expect("a client");
            let mut lines = BufReader::new(&stream).lines().map(|line| line.expect("a line").to_lowercase());
            let asked = lines.next().expect("a request");
            let cookies: Vec<_> = lines
                .take_while(|line| !line.is_empty())
                .filter_map(|line| line.strip_prefix("cookie: ").map(str::to_owned))
                .collect();
            let (status, field, body) = match request % 2 {
                0 => ("302 Found", "set-cookie: taste=sweet; Path=/\r\nlocation: /there\r\n", String::new()),
                _ => ("200 OK", "", cookies.join(", ")),
            };
            assert_eq!(asked.starts_with("get /there "), request % 2 == 1, "{asked}");
            let length = body.len();
            write!(
                &stream,
                "HTTP/1.1 {status}\r\nconnection: close\r\n{field}content-length: {length}\r\n\r\n{body}"
            )
            .expect("written");
        }
    };
    (address, std::thread::spawn(serve))
}

#[test]
fn cookies_are_kept_when_that_is_asked_for() {
    let cases: [(&[&str], &str); 4] = [
        (&[], ""),
        (&["-b"], "taste=sweet"),
        (&["-H", "Cookie: own=1"], "own=1"),
        (&["-b", "-H", "Cookie: own=1"], "own=1; taste=sweet"),
    ];
    let (address, server) = cookie_server(cases.len());
    for (flags, expected) in cases {
        let url = format!("http://{address}/here");
        let (printed, _) = succeeds(&[&["get", "-1", "-L", &url][..], flags].concat());
        assert_eq!(String::from_utf8_lossy(&printed), expected, "{flags:?}");
    }
    server.join().expect("all was asked");
}

#[test]
fn in_the_clear_both_versions_are_spoken() {
    let (site, content) = site();
    for backend in backends() {
        let server = Server::start(&backend, site.path(), &[]);
        assert_eq!(server.versions, "(HTTP/1.1, HTTP/2)", "{backend}");
        for (flag, version) in [("-1", "HTTP/1.1"), ("-2", "HTTP/2.0")] {
            let (printed, said) = succeeds(&["get", flag, "-t", &format!("{}/file.bin", server.url)]);
            assert!(printed == content && said.starts_with(version), "{backend}: {said}");
        }
        assert_eq!(shroud(&["get", "-3", &server.url]).status.code(), Some(2), "HTTP/3 needs TLS");
        server.stop();
    }
}

#[test]
fn a_hangup_loads_the_certificate_anew_and_a_bad_one_is_not_taken() {
    let (site, _) = site();
    for backend in backends() {
        let scratch = tempfile::tempdir().expect("a directory");
        let [tls, certificate, key]: [PathBuf; 3] =
            ["tls", "tls/dev-certificate.pem", "tls/dev-key.pem"].map(|name| scratch.path().join(name));
        // Two certificates, made by two servers.
        let mut kept = Vec::new();
        for _ in 0..2 {
            Server::start(&backend, site.path(), &["--tls-dev", "--tls-directory", text(&tls)]).stop();
            kept.push((std::fs::read(&certificate).expect("one"), std::fs::read(&key).expect("one")));
            std::fs::remove_file(&certificate).expect("removed");
        }
        let place = |number: usize| {
            let (chain, secret) = &kept[number];
            std::fs::write(&certificate, chain).expect("written");
            std::fs::write(&key, secret).expect("written");
        };
        let trusted: Vec<PathBuf> = (0..2).map(|number| scratch.path().join(number.to_string())).collect();
        trusted
            .iter()
            .zip(&kept)
            .for_each(|(path, (chain, _))| std::fs::write(path, chain).expect("written"));
        place(0);
        let own = ["--tls-cert", text(&certificate), "--tls-key", text(&key)];
        let server = Server::start(&backend, site.path(), &own);
        let asks = |flag: &str, number: usize| {
            shroud(&["get", flag, "--cacert", text(&trusted[number]), &server.url]).status.success()
        };
        for flag in ["-1", "-3"] {
            assert!(asks(flag, 0) && !asks(flag, 1), "{backend} {flag}");
        }
        place(1);
        server.signal("-HUP");
        while !asks("-2", 1) {}
        for flag in ["-1", "-2", "-3"] {
            assert!(asks(flag, 1) && !asks(flag, 0), "{backend} {flag}");
        }
        // The key of another: it is refused, and the server goes on.
        std::fs::write(&certificate, &kept[0].0).expect("written");
        server.signal("-HUP");
        for flag in ["-1", "-2", "-3"] {
            assert!(asks(flag, 1), "{backend} {flag}");
        }
        server.stop();
    }
}

#[test]
fn wrong_flags_are_refused_with_advice() {
    for (extra, says) in [
        (&["--tls-cert", "c.pem"][..], "belong together"),
        (&["--tls-dev", "--tls-cert", "c.pem", "--tls-key", "k.pem"], "exclude each other"),
        (&["--tls-cert", "/nonexistent/c.pem", "--tls-key", "k.pem"], "/nonexistent/c.pem"),
    ] {
        let output = shroud(&[&["serve", "/", "--listen", "127.0.0.1:0"], extra].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says), "{extra:?}: {said}");
    }
}

#[test]
fn the_nodes_rpc_is_served_over_every_version_and_subscriptions_over_both_kinds_of_sockets() {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] }).to_string();
    let subscribe =
        json!({ "jsonrpc": "2.0", "id": 2, "method": "eth_subscribe", "params": ["newHeads"] }).to_string();
    for backend in backends() {
        let data = tempfile::tempdir().expect("a directory");
        let node = Node::start_with(&backend, data.path(), &["--segment-mib", "16", "--tls-dev"]);
        let certificate = data.path().join("tls/dev-certificate.pem");
        let believing = ["--cacert", text(&certificate)];
        let url = format!("https://{}/", node.address);
        let json = ["-H", "content-type: application/json"];
        for flag in ["-1", "-2", "-3"] {
            let (printed, _) = succeeds(&[&["get", flag, &url, "-d", &call], &believing[..], &json].concat());
            let answer: Value = serde_json::from_slice(&printed).expect("JSON");
            assert!(answer["result"].as_str().is_some_and(|id| id.starts_with("0x")), "{backend}: {answer}");
        }
        let url = format!("wss://{}/", node.address);
        for flags in [&[][..], &["-2"]] {
            let asked =
                [&["ws", &url, "-m", &call, "-m", &subscribe, "-r", "2"], &believing[..], flags].concat();
            let (printed, _) = succeeds(&asked);
            let printed = String::from_utf8(printed).expect("text");
            let ids: Vec<Value> = printed
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].take())
                .collect();
            assert!(ids.contains(&json!(1)) && ids.contains(&json!(2)), "{backend}: {printed}");
        }
        node.stop();
    }
}

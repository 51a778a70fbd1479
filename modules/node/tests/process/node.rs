//! A node in a process of its own, and a small blocking JSON-RPC client.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The command under test.
pub(crate) const SHROUD: &str = env!("CARGO_BIN_EXE_shroud");

/// The backends on which a node can serve on this machine; says loudly which it cannot.
pub(crate) fn backends() -> Vec<String> {
    let output = Command::new(SHROUD).args(["backends", "--json"]).output().expect("shroud backends runs");
    let list: Vec<Value> = serde_json::from_slice(&output.stdout).expect("shroud backends prints JSON");
    let (runs, skipped): (Vec<_>, Vec<_>) = list.into_iter().partition(|backend| backend["runs"] == true);
    for backend in skipped {
        tell(format_args!("SKIPPED {}: {}", backend["backend"], backend["why"]));
    }
    let serves = runs.iter().filter(|backend| backend["serves"] == true);
    serves.map(|backend| backend["backend"].as_str().expect("a name").to_owned()).collect()
}

/// Says something even when the test passes: the test harness shows what is printed only when it fails.
pub(crate) fn tell(what: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// A running node; killed when dropped.
pub(crate) struct Node {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Node {
    /// Starts a node of the development chain over `data` and waits until it serves.
    pub(crate) fn start(backend: &str, data: &Path) -> Self {
        Self::start_with(backend, data, &["--segment-mib", "16"])
    }

    /// The same with more settings.
    pub(crate) fn start_with(backend: &str, data: &Path, extra: &[&str]) -> Self {
        Self::start_logging_to(backend, data, extra, Stdio::inherit())
    }

    /// The same, and where its log goes.
    pub(crate) fn start_logging_to(backend: &str, data: &Path, extra: &[&str], log: Stdio) -> Self {
        let mut child = Command::new(SHROUD)
            .args(["node", "--dev", "--listen", "127.0.0.1:0", "--backend", backend, "--data"])
            .arg(data)
            .args(extra)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the node starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = loop {
            let line = lines.next().expect("the node says where it listens").expect("text");
            if let Some((_, address)) =
                line.strip_prefix("listening on ").and_then(|url| url.split_once("://"))
            {
                break address.to_owned();
            }
        };
        // Keep the pipe drained, so that the node never blocks on it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.address).expect("the node accepts")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    /// Asks for a clean stop and waits for it.
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        let status = self.child.wait().expect("the node ends");
        assert!(status.success(), "the node ended with {status}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One keep-alive connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Calls a method: its result, or the whole error object; `Err` when the connection broke.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> std::io::Result<Result<Value, Value>> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let (status, answer) = self.request("POST", "/", &body)?;
        assert_eq!(status, 200, "{answer}");
        let mut answer: Value = serde_json::from_str(&answer).expect("the answer is JSON");
        Ok(match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        })
    }

    /// One HTTP request with a body: status and body of the answer.
    pub(crate) fn request(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.stream.get_mut().write_all((head + body).as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let broken = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
        let mut length = 0;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body).expect("text")))
    }
}

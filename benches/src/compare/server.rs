//! One node: its process, its directory, its end.

use super::CompareError;
use crate::affinity;
use crate::proc::Process;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a node may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a node may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How often start and stop are looked for.
const LOOK: Duration = Duration::from_millis(2);

/// Where and how nodes are started.
#[derive(Debug, Clone)]
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a Path,
    pub(crate) scratch: &'a Path,
    /// Held on these processors; anywhere when empty.
    pub(crate) cpus: &'a [usize],
    pub(crate) cores: usize,
}

/// A running node. Killed when dropped without [`Server::stop`].
#[derive(Debug)]
pub(crate) struct Server {
    backend: String,
    child: Child,
    directory: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    pub(crate) start_time: Duration,
}

impl Launch<'_> {
    pub(crate) fn start(&self, backend: &str, genesis: &str) -> Result<Server, CompareError> {
        let directory = tempfile::Builder::new()
            .prefix("node-")
            .tempdir_in(self.scratch)
            .map_err(CompareError::io("a directory for the node"))?;
        let path = |name: &str| directory.path().join(name);
        fs::write(path("genesis.json"), genesis).map_err(CompareError::io("the genesis file"))?;
        let log = File::create(path("log")).map_err(CompareError::io("the node's log"))?;
        let mut command = Command::new(self.program);
        command
            .args([
                "node",
                "--backend",
                backend,
                "--listen",
                "127.0.0.1:0",
                "--cores",
                &self.cores.to_string(),
            ])
            .args([
                "--data".as_ref(),
                path("data").as_os_str(),
                "--genesis".as_ref(),
                path("genesis.json").as_os_str(),
            ])
            .args(["--ready-file".as_ref(), path("ready").as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        for variable in std::env::vars_os().map(|(name, _)| name) {
            // What the user has set for nodes of their own is not meant for these.
            if variable.to_string_lossy().starts_with("SHROUD_") {
                command.env_remove(variable);
            }
        }
        let started = Instant::now();
        let child = self.spawn(&mut command)?;
        let ready = path("ready");
        let log = path("log");
        let process = Process::new(child.id()).map_err(CompareError::io("the node's entry in /proc"));
        let mut starting = Starting { backend, child: Some(child), log };
        let address = starting.wait(&ready, started)?;
        let start_time = started.elapsed();
        let Some(child) = starting.child.take() else {
            return Err(starting.failed("it has ended"));
        };
        Ok(Server { backend: backend.to_owned(), child, directory, address, process: process?, start_time })
    }

    /// Starts it on its processors: all of its threads inherit them, those of its libraries too.
    fn spawn(&self, command: &mut Command) -> Result<Child, CompareError> {
        let pinned = match self.cpus {
            [] => None,
            cpus => {
                let list: Vec<String> = cpus.iter().map(usize::to_string).collect();
                command.args(["--cpus", &list.join(",")]);
                Some(affinity::pin(cpus).map_err(CompareError::io("holding the node on its processors"))?)
            }
        };
        let child = command.spawn().map_err(CompareError::io(format!("starting {}", self.program.display())));
        drop(pinned);
        child
    }
}

/// A child that has not said where it listens.
struct Starting<'a> {
    backend: &'a str,
    child: Option<Child>,
    log: PathBuf,
}

impl Starting<'_> {
    fn wait(&mut self, ready: &Path, started: Instant) -> Result<SocketAddr, CompareError> {
        loop {
            if let Ok(text) = fs::read_to_string(ready) {
                let address = text.trim().trim_start_matches("http://").parse();
                return address.map_err(|_| self.failed(&format!("it says that it listens on {text:?}")));
            }
            let ended = self.child.as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = ended {
                return Err(self.failed(&status.to_string()));
            }
            if started.elapsed() > START_LIMIT {
                return Err(self.failed(&format!("it does not listen after {} s", START_LIMIT.as_secs())));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn failed(&self, how: &str) -> CompareError {
        CompareError::Start {
            backend: self.backend.to_owned(),
            reason: format!("{how}{}", last_words(&self.log)),
        }
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

impl Server {
    pub(crate) fn backend(&self) -> &str {
        &self.backend
    }

    /// What the node has logged last, to explain a failure.
    pub(crate) fn last_words(&self) -> String {
        last_words(&self.directory.path().join("log"))
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<Duration, CompareError> {
        let asked = Instant::now();
        let failed = |reason: String| CompareError::Stop { backend: self.backend.clone(), reason };
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed("its process id is out of range".into()))?;
        kill_process(pid, Signal::TERM).map_err(|error| failed(error.to_string()))?;
        let status = wait(&mut self.child, STOP_LIMIT).map_err(|error| failed(error.to_string()))?;
        let words = last_words(&self.directory.path().join("log"));
        match status {
            Some(status) if status.success() => Ok(asked.elapsed()),
            Some(status) => Err(failed(format!("{status}{words}"))),
            None => Err(failed(format!("it still runs after {} s{words}", STOP_LIMIT.as_secs()))),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK);
    }
    Ok(None)
}

/// Makes sure that nothing is left behind, whatever state it is in.
fn end(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(Some(_))) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(4)..];
    if last.is_empty() { String::new() } else { format!("; its last words: {}", last.join(" | ")) }
}

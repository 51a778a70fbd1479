//! A child process that reports its progress and is killed in the middle of it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VARIABLE: &str = "SHROUD_FAULTS_CHILD";
const MARK: &str = "progress ";

/// What a child is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// The seed of its work.
    pub seed: u64,
    /// Where it works.
    pub directory: PathBuf,
}

/// Starts the (ignored) test `test` of this binary as a child process, kills it with SIGKILL once it has reported `until`,
/// and returns the last progress that it has reported.
///
/// # Panics
/// When the child cannot be started, or ends by itself before it is killed.
pub fn kill_at(test: &str, orders: &Orders, until: u64) -> u64 {
    let binary = std::env::current_exe().expect("this binary has a path");
    let mut child = Command::new(binary)
        .args(["--exact", "--ignored", "--nocapture", "--test-threads=1", test])
        .env(VARIABLE, format!("{} {}", orders.seed, orders.directory.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let output = child.stdout.take().expect("the child's output is piped");
    let mut last = 0;
    let mut killed = false;
    // What it has reported before it died is read to the end.
    for line in BufReader::new(output).lines() {
        let line = line.expect("the child prints lines");
        let number = line.split(MARK).nth(1).and_then(|number| number.trim().parse().ok());
        last = number.unwrap_or(last);
        if last >= until && !killed {
            child.kill().expect("the child is killed");
            killed = true;
        }
    }
    child.wait().expect("the child has ended");
    assert!(killed, "the child ended by itself after {last} of {until}");
    last
}

/// The orders of a child; `None`: this process is not one.
#[must_use]
pub fn orders() -> Option<Orders> {
    let text = std::env::var(VARIABLE).ok()?;
    let (seed, directory) = text.split_once(' ')?;
    Some(Orders { seed: seed.parse().ok()?, directory: Path::new(directory).to_owned() })
}

/// Reports progress to the parent, who may kill for it.
///
/// # Panics
/// When the parent does not listen any more.
pub fn report(progress: u64) {
    let mut out = std::io::stdout().lock();
    // The mark begins a line of its own, whatever the test harness has printed before.
    writeln!(out, "\n{MARK}{progress}").and_then(|()| out.flush()).expect("the parent listens");
}

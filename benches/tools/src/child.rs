//! Fresh processes of this program, one for each block of a measurement.

use crate::arms::Arm;
use shroud_bench::affinity;
use shroud_bench::proc::Process;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child as Process_, ChildStdin, ChildStdout, Command, Stdio};

/// A running child; killed when dropped.
pub(crate) struct Child {
    child: Process_,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) process: Process,
}

impl Child {
    /// Starts this program with these arguments, on these processors if there are any.
    pub(crate) fn start(arguments: &[&str], cpus: &[usize]) -> Result<Self, Box<dyn Error>> {
        let pinned = if cpus.is_empty() { None } else { Some(affinity::pin(cpus)?) };
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        drop(pinned);
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the child has no pipes".into());
        };
        let process = Process::new(child.id())?;
        Ok(Self { child, input, output: BufReader::new(output), process })
    }

    /// Starts a server and waits until it listens.
    pub(crate) fn server(arm: Arm, cpus: &[usize]) -> Result<(Self, SocketAddr), Box<dyn Error>> {
        let mut child = Self::start(&["serve", &arm.name()], cpus)?;
        let line = child.line()?;
        let address = line.trim_start_matches("listening on http://").parse();
        Ok((child, address.map_err(|_| format!("{} does not listen: {line:?}", arm.name()))?))
    }

    /// Sends a line and waits for one.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String, Box<dyn Error>> {
        writeln!(self.input, "{line}")?;
        self.input.flush()?;
        self.line()
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("the child ended: {}", self.child.wait()?).into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A processor for the server and one for the client, where there are two.
pub(crate) fn processors() -> (Vec<usize>, Vec<usize>) {
    match affinity::allowed().as_deref() {
        Ok([server, client, ..]) => (vec![*server], vec![*client]),
        _ => (Vec::new(), Vec::new()),
    }
}

//! A server's process: told its identity over standard input, and not to outlive it.

use super::{Addresses, Identity};
use crate::affinity;
use crate::proc::Process;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

/// A running server. It ends when this is dropped, or with this process: nothing that a benchmark serves has to be kept.
#[derive(Debug)]
pub struct Served {
    child: Child,
    /// Its end is the server's sign to stop.
    _input: ChildStdin,
    /// Where it listens.
    pub addresses: Addresses,
    /// What it spends.
    pub process: Process,
}

impl Served {
    /// Starts a command whose program reads an identity's line and answers with its addresses; on these processors if there
    /// are any.
    ///
    /// # Errors
    /// When it does not start or does not say where it listens.
    pub fn start(mut command: Command, cpus: &[usize], identity: &Identity) -> io::Result<Self> {
        let pinned = if cpus.is_empty() { None } else { Some(affinity::pin(cpus)?) };
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        drop(pinned);
        let mut child = child?;
        match introduce(&mut child, identity) {
            Ok((input, addresses, process)) => Ok(Self { child, _input: input, addresses, process }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn introduce(child: &mut Child, identity: &Identity) -> io::Result<(ChildStdin, Addresses, Process)> {
    let process = Process::new(child.id())?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the server has no pipes"));
    };
    writeln!(input, "{}", identity.to_line())?;
    input.flush()?;
    let mut line = String::new();
    if BufReader::new(output).read_line(&mut line)? == 0 {
        return Err(io::Error::other(format!("the server does not listen: {}", child.wait()?)));
    }
    Ok((input, line.parse().map_err(io::Error::other)?, process))
}

/// The server's side of [`Served`]: reads the identity, and calls `stop` when standard input ends, as it also does when the
/// process that started this one is gone.
///
/// # Errors
/// When there is no identity, or no thread to wait with.
pub fn stop_at_end_of_input(stop: impl FnOnce() + Send + 'static) -> io::Result<Identity> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let identity = line.parse().map_err(io::Error::other)?;
    thread::Builder::new().name("end of input".into()).spawn(move || {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        stop();
    })?;
    Ok(identity)
}

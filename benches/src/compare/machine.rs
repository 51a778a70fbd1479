//! What is known about the build and the machine.

use super::Options;
use crate::proc::{Machine, MachineLoad};
use crate::report::Metadata;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The report's metadata as far as it is known before anything runs.
pub(crate) fn metadata(options: &Options) -> Metadata {
    Metadata {
        version: options.version.clone(),
        commit: first_line("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
        lock_hash: std::fs::read(Path::new("Cargo.lock"))
            .ok()
            .map(|bytes| shroud_crypto::blake3(&bytes).to_string()),
        rustc: first_line("rustc", &["--version"]),
        build: format!(
            "{}, {}",
            if cfg!(debug_assertions) { "with debug assertions" } else { "optimised" },
            std::env::consts::ARCH
        ),
        command: options.command.clone(),
        started_unix: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        quick: options.quick,
        seed: options.seed,
        rounds_planned: options.planned_rounds(),
        machine: Some(Machine::read()),
        before: MachineLoad::read(),
        ..Metadata::default()
    }
}

/// The first line that a program prints; `None` when it is missing or fails.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

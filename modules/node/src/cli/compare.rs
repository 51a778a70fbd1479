//! `shroud compare`: the main job.

use super::Failure;
use super::backends::probe_all;
use super::output::say;
use crate::backends::REAL;
use clap::Args;
use shroud_bench::compare::{Options, compare};
use shroud_bench::report::Skipped;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Drive the node with the same load on every backend; print a table, write report.html and report.json
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The short form: one round, in about a minute
    #[arg(long)]
    quick: bool,
    /// Directory for report.html and report.json
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Only these backends, e.g. tokio,glommio; the first is the base of ratios
    #[arg(long, value_delimiter = ',')]
    backends: Vec<String>,
    /// Rounds, each with every backend [default: 1 in the short form, else 3 within five minutes]
    #[arg(long)]
    rounds: Option<u32>,
    /// Seed of keys, arrivals and resampling
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Directory for the nodes' data, on the disk whose syncs are to be measured [default: the system's]
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Print the report as JSON instead of the table
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut probed = probe_all();
        probed.retain(|(name, _)| REAL.contains(name));
        if let Some(unknown) =
            self.backends.iter().find(|name| !probed.iter().any(|(known, _)| known == name))
        {
            let known: Vec<_> = probed.iter().map(|(name, _)| *name).collect();
            return Err(Failure::usage(format_args!(
                "there is no backend {unknown:?}; choose of {}",
                known.join(", ")
            )));
        }
        let wanted =
            |name: &str| self.backends.is_empty() || self.backends.iter().any(|wanted| wanted == name);
        let mut backends = Vec::new();
        let mut skipped = Vec::new();
        for (name, probe) in probed.into_iter().filter(|(name, _)| wanted(name)) {
            match probe {
                Ok(_) => backends.push(name.to_owned()),
                Err(why) => {
                    eprintln!("SKIPPED {name}: {why}");
                    skipped.push(Skipped { backend: name.to_owned(), reason: why.to_string() });
                }
            }
        }
        // The order that was asked for decides which is the base.
        backends.sort_by_key(|name| self.backends.iter().position(|wanted| wanted == name));
        std::fs::create_dir_all(&self.out).map_err(Failure::of(self.out.display()))?;
        let options = Options {
            program: std::env::current_exe().map_err(Failure::of("finding this program"))?,
            backends,
            skipped,
            quick: self.quick,
            rounds: self.rounds,
            seed: self.seed,
            scratch: self.scratch,
            command: std::env::args().collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let report = compare(&options, Some(&super::DEFAULT)).map_err(Failure::new)?;
        report.write(&self.out).map_err(Failure::of(self.out.display()))?;
        if self.json {
            say(serde_json::to_string_pretty(&report).map_err(Failure::of("printing the report"))?);
        } else {
            say(report.table(std::io::stdout().is_terminal()));
            say(format_args!("wrote {} and report.json", self.out.join("report.html").display()));
        }
        match report.failures.as_slice() {
            [] => Ok(()),
            failures => Err(Failure::new(format_args!("the comparison failed:\n{}", failures.join("\n")))),
        }
    }
}

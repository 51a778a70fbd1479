//! `shroud backends`.

use super::Failure;
use super::output::{say, table};
use crate::backends::{NAMES, REAL, Visit, with_backend};
use clap::Args;
use serde_json::{Value, json};
use shroud_runtime::{Backend, Capabilities, Unavailable};

/// List the backends and what they can do on this machine
#[derive(Debug, Args)]
pub(crate) struct Backends {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print only the names of those that a node can serve on here
    #[arg(long, conflicts_with = "json")]
    runnable: bool,
}

/// Probes a backend.
struct Probe;

impl Visit for Probe {
    type Output = Result<Capabilities, Unavailable>;

    fn visit<B: Backend>(self, backend: B) -> Self::Output {
        backend.probe()
    }
}

/// The backends that can run here, and why the others cannot.
pub(crate) fn probe_all() -> Vec<(&'static str, Result<Capabilities, Unavailable>)> {
    let probe = |name| with_backend(name, Probe).unwrap_or_else(|error| Err(Unavailable(error.to_string())));
    NAMES.iter().map(|name| (*name, probe(name))).collect()
}

impl Backends {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let probed = probe_all();
        if self.runnable {
            for (name, _) in probed.iter().filter(|(name, probe)| probe.is_ok() && REAL.contains(name)) {
                say(name);
            }
        } else if self.json {
            let list: Vec<Value> = probed.iter().map(|(name, probe)| describe(name, probe)).collect();
            say(serde_json::to_string_pretty(&list).map_err(Failure::of("printing the backends"))?);
        } else {
            let header = ["BACKEND", "TOPOLOGY", "EXECUTOR", "REACTOR", "FILES", "UDP"];
            let mut rows = vec![header.map(str::to_owned).to_vec()];
            let mut missing = Vec::new();
            for (name, probe) in &probed {
                match probe {
                    Ok(found) => rows.push(vec![
                        (*name).to_owned(),
                        found.topology.to_string(),
                        found.executor.to_owned(),
                        found.reactor.to_owned(),
                        found.files.to_owned(),
                        datagrams(found),
                    ]),
                    Err(why) => missing.push(format!("{name} cannot run here: {why}")),
                }
            }
            say(table(&rows).trim_end());
            for line in missing {
                say(line);
            }
        }
        Ok(())
    }
}

fn datagrams(found: &Capabilities) -> String {
    let can = &found.datagram;
    format!(
        "GSO {}, GRO {}, ECN {}",
        can.send_segments,
        can.receive_segments,
        if can.ecn { "yes" } else { "no" }
    )
}

fn describe(name: &str, probe: &Result<Capabilities, Unavailable>) -> Value {
    match probe {
        Ok(found) => json!({
            "backend": name,
            "runs": true,
            "serves": REAL.contains(&name),
            "topology": found.topology.to_string(),
            "executor": found.executor,
            "reactor": found.reactor,
            "files": found.files,
            "datagram": {
                "send_segments": found.datagram.send_segments,
                "receive_segments": found.datagram.receive_segments,
                "ecn": found.datagram.ecn,
                "may_fragment": found.datagram.may_fragment,
            },
        }),
        Err(why) => json!({ "backend": name, "runs": false, "why": why.to_string() }),
    }
}

//! `shroud tasks` and `shroud audit`: looking at a running node and at a data directory.

use super::Failure;
use super::output::say;
use clap::Args;
use shroud_ghostwire::http::{Body, Client, ClientLimits, Request};
use std::path::PathBuf;

/// Print a running node's live task tree
#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// The node's URL
    #[arg(long, env = "SHROUD_URL", default_value = "http://127.0.0.1:8545")]
    url: String,
}

impl Tasks {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let url = format!("{}/debug/tasks", self.url.trim_end_matches('/'));
        let request = Request::get(&url).body(Body::empty()).map_err(Failure::usage)?;
        let response = super::block_on(move |runtime| async move {
            Client::new(runtime, ClientLimits::default()).send(request).await
        })?
        .map_err(Failure::of(&url))?;
        if !response.status().is_success() {
            return Err(Failure::new(format_args!("{url}: {}", response.status())));
        }
        say(String::from_utf8_lossy(response.body()).trim_end());
        Ok(())
    }
}

/// Check a data directory: replay its journal and prove chain, double entry and commitment
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// The data directory; no node may be running on it
    #[arg(long, env = "SHROUD_DATA", default_value = "shroud-data")]
    data: PathBuf,
    /// The chain's genesis file
    #[arg(long, env = "SHROUD_GENESIS", required_unless_present = "dev")]
    genesis: Option<PathBuf>,
    /// The development chain's genesis
    #[arg(long, conflicts_with = "genesis")]
    dev: bool,
}

impl Audit {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let genesis = match &self.genesis {
            Some(path) => super::config::read_genesis(path)?,
            None => crate::dev::genesis(),
        };
        let data = self.data;
        let shown = data.display().to_string();
        let audit = super::block_on(move |runtime| async move {
            shroud_keystone::verify(&runtime, &data, &genesis).await
        })?
        .map_err(Failure::of(format_args!("audit of {shown}")))?;
        say(format_args!(
            "blocks        {} (hash chain, signatures, receipts and commitments hold)",
            audit.height
        ));
        say(format_args!("transactions  {}", audit.transactions));
        say(format_args!("tip           {}", audit.hash));
        say(format_args!("commitment    {}", audit.state_root));
        say(format_args!("assets        {} (debits equal credits in each)", audit.assets));
        Ok(())
    }
}

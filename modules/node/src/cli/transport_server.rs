//! `shroud transport-server`: what `shroud compare` measures transports on.

use super::Failure;
use super::node::start_logging;
use super::output::say;
use crate::backends::{Visit, with_backend};
use clap::Args;
use shroud_bench::transport::{Identity, serve, stop_at_end_of_input};
use shroud_runtime::{Backend, Config};
use std::sync::Arc;

/// Serve all transports by themselves until standard input ends (started by `compare`)
#[derive(Debug, Args)]
pub(crate) struct TransportServer {
    /// Who runs the server
    #[arg(long)]
    backend: String,
}

impl TransportServer {
    pub(crate) fn run(self) -> Result<(), Failure> {
        start_logging();
        let config = Config::single();
        let stop = config.stop.clone();
        let identity = stop_at_end_of_input(move || stop.cancel()).map_err(Failure::of("standard input"))?;
        with_backend(&self.backend, Start { identity, config }).map_err(Failure::usage)?
    }
}

struct Start {
    identity: Identity,
    config: Config,
}

impl Visit for Start {
    type Output = Result<(), Failure>;

    fn visit<B: Backend>(self, backend: B) -> Self::Output {
        let identity = Arc::new(self.identity);
        let results = backend
            .run(&self.config, move |runtime| serve(runtime, Arc::clone(&identity), say))
            .map_err(Failure::of(format_args!("backend {}", backend.name())))?;
        for result in results {
            result.map_err(Failure::new)?.map_err(Failure::new)?;
        }
        Ok(())
    }
}

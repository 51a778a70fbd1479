//! `shroud node`.

use super::Failure;
use super::config::NodeFlags;
use super::output::say;
use crate::backends::{SIMULATED, Visit, with_backend};
use crate::node::{Node, NodeConfig};
use shroud_runtime::sync::channel;
use shroud_runtime::{Backend, CancellationToken, Config};
use std::path::{Path, PathBuf};

/// Serves a node until a signal.
pub(crate) fn serve(flags: NodeFlags) -> Result<(), Failure> {
    start_logging();
    let flags = flags.with_file()?;
    if flags.backend() == SIMULATED {
        return Err(Failure::usage(
            "backend sim has no real network and no real files: a node on it could be reached by nobody; \
             `shroud sim run` simulates nodes and their clients",
        ));
    }
    let mut node = flags.node_config()?;
    let runtime = flags.runtime_config();
    let ready_file = flags.ready_file.clone();
    node.reload = listen_to_signals(runtime.stop.clone(), node.certificate.is_some())?;
    with_backend(flags.backend(), Serve { node, runtime, ready_file }).map_err(Failure::usage)?
}

struct Serve {
    node: NodeConfig,
    runtime: Config,
    ready_file: Option<PathBuf>,
}

impl Visit for Serve {
    type Output = Result<(), Failure>;

    fn visit<B: Backend>(self, backend: B) -> Self::Output {
        let name = backend.name();
        backend.probe().map_err(|why| {
            Failure::new(format_args!(
                "backend {name} cannot run here: {why}; `shroud backends` lists those that can"
            ))
        })?;
        let ready_file = self.ready_file;
        let scheme = if self.node.certificate.is_some() { "https" } else { "http" };
        let node = Node::new(self.node, move |address| {
            say(format_args!("listening on {scheme}://{address}"));
            if let Some(path) = &ready_file
                && let Err(error) = write_whole(path, &format!("{scheme}://{address}"))
            {
                tracing::error!(path = %path.display(), %error, "the ready file could not be written");
            }
        })
        .map_err(Failure::usage)?;
        let results = backend
            .run(&self.runtime, move |runtime| node.clone().run(runtime))
            .map_err(Failure::of(format_args!("backend {name}")))?;
        for (shard, result) in results.into_iter().enumerate() {
            match result {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Failure::new(error)),
                Err(error) => return Err(Failure::new(format_args!("shard {shard}: {error}"))),
            }
        }
        Ok(())
    }
}

/// Writes a file so that a reader never sees a part of it.
pub(crate) fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, text)?;
    std::fs::rename(&part, path)
}

/// The first SIGINT or SIGTERM asks for an orderly stop, the second ends the process at once. With `reload`, each SIGHUP becomes
/// a message: to load the certificate anew. A file that may not grow further fails its write, and does not end the process (SIGXFSZ).
pub(crate) fn listen_to_signals(
    stop: CancellationToken,
    reload: bool,
) -> Result<Option<channel::Receiver<()>>, Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    let mut wanted = vec![SIGINT, SIGTERM, SIGXFSZ];
    wanted.extend(reload.then_some(SIGHUP));
    let mut signals =
        signal_hook::iterator::Signals::new(wanted).map_err(Failure::of("listening for signals"))?;
    // Signals that come while one is being followed are one.
    let (again, asked) = channel::bounded(1);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if signal == SIGXFSZ {
                    tracing::warn!("a file was not written: the process may have no larger ones (ulimit -f)");
                    continue;
                }
                if signal == SIGHUP {
                    let _ = again.try_send(());
                    continue;
                }
                if stop.is_cancelled() {
                    std::process::exit(128 + signal);
                }
                tracing::info!(signal, "stopping; once more to stop at once");
                stop.cancel();
            }
        })
        .map_err(Failure::of("listening for signals"))?;
    Ok(reload.then_some(asked))
}

/// Logs go to standard error; `SHROUD_LOG` or `RUST_LOG` filters them (default: warnings).
pub(crate) fn start_logging() {
    let filter =
        std::env::var("SHROUD_LOG").or_else(|_| std::env::var("RUST_LOG")).unwrap_or_else(|_| "warn".into());
    let _ = tracing_subscriber::fmt()
        // Else a log that cannot be written (a full disk) is a panic of whoever writes to it.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .try_init();
}

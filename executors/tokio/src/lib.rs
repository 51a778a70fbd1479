//! Tasks polled by Tokio: [`TokioExecutor`] on any runtime that is already there, [`MultiThread`] and
//! [`CurrentThread`] on one that is started for a node and taken down with it.
#![forbid(unsafe_code)]

mod current_thread;
mod executor;
mod multi_thread;

pub use current_thread::CurrentThread;
pub use executor::TokioExecutor;
pub use multi_thread::{MultiThread, Reactor};

use std::io;
use std::sync::Arc;

/// Runs first on each thread that is started: on worker `Some(index)`, or on a blocking thread (`None`), which has
/// inherited the CPU affinity of whichever thread started it. An error keeps a worker, and with it the node, from
/// starting.
pub type ThreadHook = Arc<dyn Fn(Option<usize>) -> io::Result<()> + Send + Sync>;

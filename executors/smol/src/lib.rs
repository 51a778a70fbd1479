//! Tasks polled by async-executor, smol's executor: [`SmolExecutor`] on one that is already there, [`MultiThread`] and
//! [`CurrentThread`] on one that is started for a node and taken down with it.
//!
//! Idle threads drive async-io's reactor, as smol's own do. Blocking jobs run on the threads of the `blocking` crate.
//! Both are shared by the whole process: the reactor's helper thread stays, idle blocking threads end by themselves.
#![forbid(unsafe_code)]

mod blocking_jobs;
mod current_thread;
mod deferred;
mod executor;
mod multi_thread;

pub use current_thread::CurrentThread;
pub use executor::SmolExecutor;
pub use multi_thread::MultiThread;

use std::io;
use std::sync::Arc;

/// Runs first on each worker thread (`Some(index)`), and on a blocking thread before each job (`None`): blocking
/// threads belong to the process, and have inherited the CPU affinity of whichever thread started them. An error keeps
/// a worker, and with it the node, from starting.
pub type ThreadHook = Arc<dyn Fn(Option<usize>) -> io::Result<()> + Send + Sync>;

//! Tasks polled by glommio, one io_uring a shard.
//!
//! [`GlommioExecutor`] spawns on the glommio executor of its own thread, from any thread. [`run`] starts a node's shards,
//! each a thread with a [`glommio::LocalExecutor`], and takes them down again. It does not ask whether io_uring works
//! here: glommio ends the process when an operation is missing, so probe first.
#![forbid(unsafe_code)]

mod executor;
mod shards;

pub use executor::GlommioExecutor;
pub use shards::run;

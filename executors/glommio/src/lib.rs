//! Tasks polled by glommio, one io_uring a shard.
//!
//! [`GlommioExecutor`] spawns on the glommio executor of its own thread, from any thread. [`CurrentThread`] is such an
//! executor with the thread that runs it. Neither asks whether io_uring works here: glommio ends the process when an
//! operation is missing, so probe first.
//!
//! Known limit: glommio 0.9 frees a task without dropping its header, which holds a reference to the shard's wake-up
//! descriptor. So each shard that has run leaves one `eventfd` open until the process ends.
#![forbid(unsafe_code)]

mod current_thread;
mod executor;
mod jobs;
mod turns;

pub use current_thread::CurrentThread;
pub use executor::GlommioExecutor;
pub use jobs::ThreadHook;

//! The seam: everything a task may ask of the world, and nothing about who answers.
//!
//! [`Runtime`] is one trait: clock, entropy, timers, tasks, offload, TCP, UDP, files and name look-up. Protocols,
//! the ledger and every module are written against it once. A backend is the product ([`Composed`]) of an
//! [`Executor`] (who polls) and an [`Io`] (who waits for the kernel); both are small traits, implemented in crates
//! of their own, so that an executor can be paired with another's reactor.
//!
//! Every future here is [`Send`], so the same `async fn` runs on a work-stealing pool and on a pinned thread.
//!
//! | module | what is inside |
//! |---|---|
//! | [`mod@runtime`] | the [`Runtime`] trait and its conveniences |
//! | [`backend`] | how a backend is probed, started and stopped |
//! | [`compose`] | [`Executor`] x [`Io`] = [`Composed`] |
//! | [`task`] | the task tree: names, classes, handles, statistics, the live dump |
//! | [`time`] | alarm, sleep, timeout, interval |
//! | [`net`], [`mod@file`] | streams, listeners, datagrams, files |
//! | [`durations`] | a histogram that counts from any thread |
//! | [`sync`] | channels, locks, notification: runtime-neutral, re-exported or built here |
//! | [`flow`] | cancellation tokens, groups, select, join, bounded map, retry, rate limit, batching, pools |
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

pub mod backend;
pub mod compose;
pub mod durations;
pub mod file;
pub mod flow;
pub mod net;
pub mod runtime;
pub mod shard;
pub mod sync;
pub mod task;
pub mod time;

pub use backend::{Backend, Capabilities, Config, StartError, Unavailable};
pub use compose::{Composed, Executor, Io, Job, Offload, TimedJob};
pub use file::{BlockFile, FileKind, FileStatus, OpenOptions};
pub use flow::cancel::CancellationToken;
pub use net::{
    ByteStream, ConnectOptions, Datagram, DatagramCapabilities, DatagramOptions, Ecn, ListenOptions,
    Listener, RecvMeta, Transmit,
};
pub use runtime::{Lost, Runtime, RuntimeExt};
pub use shard::{Shard, Topology};
pub use task::{Class, Task, TaskError};
pub use time::{Alarm, Elapsed};

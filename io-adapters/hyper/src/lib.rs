//! hyper's runtime traits over the seam.
//!
//! | hyper asks for | here |
//! |---|---|
//! | `rt::Read + rt::Write` | [`HyperIo`] over any `futures_io` stream |
//! | (the other way) | [`FuturesIo`] over hyper's streams, after an upgrade |
//! | `rt::Timer`, `rt::Sleep` | [`HyperTimer`], [`HyperSleep`] over the seam's alarms |
//! | `rt::Executor` | [`HyperExecutor`], which spawns named tasks of one class |
//!
//! Nothing here allocates per request: reads go straight into hyper's buffer, and moving a timer's deadline only
//! stores it.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![allow(
    unsafe_code,
    reason = "hyper offers no safe way to say how much of an initialised buffer was filled"
)]

mod executor;
mod io;
mod timer;
mod upgraded;

pub use executor::HyperExecutor;
pub use io::HyperIo;
pub use timer::{HyperSleep, HyperTimer};
pub use upgraded::FuturesIo;

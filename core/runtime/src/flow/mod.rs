//! Control flow over many futures: neutral, cancel-on-drop, each with its cancel safety stated.
//!
//! | need | use |
//! |---|---|
//! | stop work, and all that hangs on it | [`CancellationToken`] |
//! | the first of several to end, the others dropped | [`select`], [`select3`], [`select_all`] |
//! | the first of several to succeed | [`first_success`] |
//! | all of several | [`join`], [`join_all`], [`try_join_all`] |
//! | a future for each item, so many at a time | [`map_bounded`], [`map_unordered`], [`try_map_bounded`] |
//! | many tasks that succeed or fail together | [`TaskGroup`] |
//! | again after a failure | [`retry()`] with a [`RetryPolicy`] and a [`RetryBudget`] |
//! | so many a second | [`RateLimiter`] |
//! | work in batches | [`batcher`] |
//! | costly things used again | [`Pool`] |

mod batch;
pub mod cancel;
mod first;
mod group;
mod join;
mod map;
mod pool;
mod rate;
mod retry;
mod select;
#[cfg(test)]
mod testing;

pub use batch::{BatchOptions, Batches, PushError, Pusher, TryPushError, batcher};
pub use cancel::CancellationToken;
pub use first::first_success;
pub use group::{GroupError, TaskGroup};
pub use join::{join, join_all, join3, try_join_all};
pub use map::{map_bounded, map_unordered, try_map_bounded};
pub use pool::{Manager, Pool, PoolError, PoolOptions, PoolStats, Pooled};
pub use rate::{RateError, RateLimiter, RateLimits};
pub use retry::{GaveUp, Jitter, RetryBudget, RetryError, RetryPolicy, retry};
pub use select::{Either, OneOf3, select, select_all, select3};

//! Calls of contracts outside blocks: views, simulations and estimates.
//!
//! [`Covenant`] runs them against a snapshot of the ledger that the caller hands in, in slices of fuel, so that no call holds a
//! shard; a bounded number at once, each until a deadline. Nothing that they change is kept. Calls inside blocks are the
//! ledger's (`shroud_ledger::apply`); both share the compiler and the cache of compiled code, so that they cannot differ.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod admission;
mod call;
mod covenant;
mod drive;
mod error;

pub use call::{BlockView, ContractCall, Draft};
pub use covenant::{Covenant, Settings};
pub use error::CallError;

//! The ledger's logic: transactions, state, blocks, the journal's records and the state commitment.
//!
//! Everything here is deterministic and without I/O: the same genesis and the same transactions in the same order give the same
//! state, receipts and hashes on every machine.
//!
//! - [`types`], [`genesis`], [`state`], [`tree`]: what the ledger holds, and the commitment to it.
//! - [`transaction`]: decoding and verifying what arrives. [`gas`]: what it costs.
//! - [`apply`]: a machine that applies verified transactions and makes [`block`]s, [`receipt`]s and [`posting`]s.
//! - [`journal`]: the records and segments that make blocks durable. [`replay`]: applying them again.
//! - [`store`]: what a database must offer to hold the state behind the journal.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

pub mod apply;
pub mod block;
mod codec;
pub mod gas;
pub mod genesis;
pub mod host;
pub mod journal;
pub mod posting;
pub mod receipt;
pub mod replay;
pub mod state;
pub mod store;
pub mod transaction;
pub mod tree;
pub mod types;

pub use codec::CodecError;
pub use genesis::Genesis;
pub use tree::StateTree;
pub use types::*;

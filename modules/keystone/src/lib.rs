//! The durable ledger: sequencing, group commit, the journal, recovery and queries.
//!
//! [`Ledger::open`] recovers a data directory and starts the writer; clones of the [`Ledger`] are used from every shard
//! ([`Ledger::on_shard`]). [`Ledger::submit`] resolves when a transaction is durable: its block is written to the journal and
//! synced. Readers see durable state only. The journal is the truth; the [`Store`](shroud_ledger::store::Store) is written
//! behind it. [`verify`] replays a journal from genesis.
//!
//! | file | what is inside |
//! |---|---|
//! | `ledger`, `query` | the handle: submitting, questions |
//! | `open`, `lock` | recovery, and the mark of who uses a directory |
//! | `config`, `keep` | settings |
//! | `writer` | ordering, applying, committing, writing behind |
//! | `journal` | segments on disk: append, roll-over, recycling, scan |
//! | `inbox`, `waiting`, `reply` | transactions on their way in, and answers on their way out |
//! | `recent`, `shared` | what readers see |
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]
#![allow(
    clippy::manual_async_fn,
    reason = "a declared `Send` is what lets embedders spawn these on a runtime they name: rustc cannot infer it there"
)]

mod audit;
mod config;
mod error;
mod inbox;
mod journal;
mod keep;
mod ledger;
mod lock;
mod metrics;
mod open;
mod query;
mod recent;
mod reply;
mod shared;
mod submission;
mod waiting;
mod writer;

pub use audit::{Audit, AuditError, verify};
pub use config::{Config, ConfigError};
pub use error::{QueryError, SubmitError};
pub use journal::JournalError;
pub use keep::{KeepSegments, KeepSegmentsError};
pub use ledger::{Ledger, StopError};
pub use metrics::{BATCH_BOUNDS, Counter, Histogram, Metrics, TIME_BOUNDS};
pub use open::OpenError;
pub use query::{BlockInfo, TransactionInfo};
pub use recent::Inclusion;
pub use shared::Snapshot;

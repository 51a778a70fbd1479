//! The contract engine: WebAssembly calls as machines with fuel and host requests.
//!
//! [`Engine::compile`] validates a module and translates it once into a [`CompiledModule`]; [`CodeCache`] keeps a
//! bounded number of those by code hash. An [`Execution`] is one call: [`Execution::resume`] runs it for a slice of fuel
//! and says whether it ended, ran out of the slice, or asks the ledger something ([`HostRequest`]), which the driver
//! answers with [`Execution::respond`]. The machine borrows nothing from the ledger, does no I/O, reads no clock.
//!
//! The gas a call uses depends only on the module, the context and the answers, never on the size of the slices.
//! [`gas`] is the published schedule, [`limits`] what a contract may not exceed. The contract's side of the interface
//! is described in `docs/contracts.md`.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod cache;
mod context;
mod engine;
mod execution;
pub mod gas;
mod host;
pub mod limits;
mod outcome;
mod request;
mod scan;

pub use cache::CodeCache;
pub use context::{CallContext, Entry, Value};
pub use engine::{CompiledModule, Engine, InvalidModule};
pub use execution::{Execution, Step, UnexpectedResponse};
pub use outcome::{Event, Outcome, Verdict};
pub use request::{HostRequest, HostResponse, TransferRefusal};

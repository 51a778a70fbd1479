//! The same node, on every executor, measured honestly.
//!
//! This crate is the facade of Shroud: the seam ([`runtime`]), the backends behind it ([`backends`], one cargo feature
//! each: `tokio`, `smol`, `glommio`), the modules, and the [`node`] that composes them. The `shroud` command is
//! [`cli`] (feature `cli`). A program that has an executor already attaches the seam to it:
//! `backends::tokio::attach()`, `backends::smol::attach(executor)`, `backends::glommio::attach()`; see `examples/`.

pub mod backends;
mod certificate;
#[cfg(feature = "cli")]
pub mod cli;
pub mod dev;
pub mod node;
pub mod probe;
pub mod rpc;
#[cfg(feature = "sim")]
pub mod sim;

/// So that simulations are held to giving memory back: in tests, and with the feature for soaks.
#[cfg(all(feature = "sim", any(test, feature = "count-memory")))]
#[global_allocator]
static MEMORY: shroud_io_sim::memory::Counting = shroud_io_sim::memory::Counting;

pub use shroud_covenant as covenant;
pub use shroud_crypto as crypto;
pub use shroud_fjall as fjall;
pub use shroud_ghostwire as ghostwire;
pub use shroud_gwallet as gwallet;
pub use shroud_keystone as keystone;
pub use shroud_ledger as ledger;
pub use shroud_quic as quic;
pub use shroud_runtime as runtime;
pub use shroud_vm as vm;
pub use shroud_websocket as websocket;
pub use shroud_wire as wire;

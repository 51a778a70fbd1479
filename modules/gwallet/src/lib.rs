//! The wallet: keys in a directory of encrypted keystores, payments signed with them, and the node they are sent to.
//!
//! | type | what it does |
//! |---|---|
//! | [`Keys`] | creates, imports, lists and unlocks keys |
//! | [`Payment`] | one transfer, signed natively (Ed25519) or as an Ethereum transaction (secp256k1) |
//! | [`Remote`] | a node over JSON-RPC: balances, and sending |
//! | [`amount`] | decimal amounts to base units and back, without floats |
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

pub mod amount;
mod keys;
mod payment;
mod remote;

pub use keys::{Entry, KeyError, Keys, PassPhrase, parse_secret};
pub use payment::{Fees, Payment, PaymentError, TRANSFER_GAS};
pub use remote::{Account, Balance, Outcome, Remote, RemoteError, SendError};
pub use shroud_crypto::kdf::Argon2idCost;
pub use shroud_crypto::keystore::{KeyKind, Secret};

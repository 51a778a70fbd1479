//! Automatic certificates (ACME, RFC 8555) without I/O: a machine that orders one certificate and proves by TLS-ALPN-01
//! (RFC 8737) that its names are ours.
//!
//! | file | what is inside |
//! |---|---|
//! | `order` | [`Order`], the machine: responses and time in, [`Output`]s out |
//! | `config` | [`OrderConfig`]: what is ordered, of whom |
//! | `limits` | how much is taken from a server, and how long it is waited for |
//! | `jws` | signed requests (RFC 7515), and [`Signer`], who signs |
//! | `message` | what servers answer |
//! | `problem` | a server's reasons (RFC 7807) |
//! | `url` | where servers say that things are |
//! | `retry_after` | when a server wants to be asked again |
//! | `error` | [`Error`] |
//!
//! Time is given with each input. Keys are not here: a [`Signer`] has the account's, and whoever orders has made the request
//! for the certificate (PKCS #10, RFC 2986) with a key of its own. All that a server says is taken for hostile.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![forbid(unsafe_code)]

mod config;
mod error;
mod jws;
pub mod limits;
mod message;
mod order;
mod problem;
mod retry_after;
mod url;

pub use config::OrderConfig;
pub use error::{Error, Step};
pub use jws::{PublicKey, SignError, Signer};
pub use order::{Issued, Method, Order, Output, Request, Response};
pub use problem::{Problem, Subproblem};
pub use retry_after::retry_after;

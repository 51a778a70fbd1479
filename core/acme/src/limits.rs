//! How much is taken from a server, and how long it is waited for.

use std::time::Duration;

/// Bytes of a response's body: a chain of certificates is the longest.
pub const MAX_RESPONSE: usize = 256 * 1024;

/// Names in a certificate: as many as Let's Encrypt takes.
pub const MAX_NAMES: usize = 100;

/// Ways to be told about an account's certificates.
pub const MAX_CONTACTS: usize = 10;

/// Bytes of an address that a server gives.
pub const MAX_URL: usize = 2048;

/// Bytes of a nonce or a challenge's token.
pub const MAX_TOKEN: usize = 512;

/// How often an order and its authorizations are looked at again while the server works, all together.
pub const MAX_POLLS: u32 = 300;

/// Nonces in a row that a server may refuse (RFC 8555, 6.5).
pub const MAX_NONCES: u32 = 10;

/// For a whole order.
pub const MAX_TIME: Duration = Duration::from_secs(15 * 60);

/// The pause before the first look again; each further one is twice as long.
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause between two looks, also when the server asks for more (`Retry-After`).
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Bytes of a text of the server's that are kept in an error.
pub const MAX_TEXT: usize = 512;

/// Parts of a server's reason that are kept.
pub const MAX_SUBPROBLEMS: usize = 10;

//! Orders against an authority in memory, with a clock of the test's.
//!
//! A test is a story: make a [`pair::Pair`], change its authority, run it, and look at how it ended:
//! ```ignore
//! let mut pair = Pair::new(&["a.test"]);
//! pair.authority.bad_nonces = 3;
//! let issued = pair.run().unwrap();
//! ```
#![allow(clippy::disallowed_methods, reason = "an instant to count from")]

mod authority;
mod hostile;
mod orders;
mod pair;

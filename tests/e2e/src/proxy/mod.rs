//! The reverse proxy, end to end: every protocol in and out, failures, limits, reload, hostile clients.
//!
//! A new test is a generic function in one of these files and a line in `tests_of!`; servers that misbehave are
//! [`support::Scripted`].

pub mod failures;
pub mod hostile;
pub mod introduced;
pub mod support;
pub mod through;

//! The facade: one crate that gives the whole of Shroud.
pub mod backends;
